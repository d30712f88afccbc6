"""UDP flows that are with a wrong endpoint, or with none, leave connection tracking (CT-01…CT-07).

Rules decide about the first packet of a flow alone; for UDP, which knows no end, the kernel's entry then
outlives its endpoint for as long as the client goes on sending.

============== =====================================================================================
``flows``       what an entry says
``judgement``   pure: which entries are wrong, and how long each may still stay
``pending``     which frontends need a look, and when
``table``       netlink: filtered dumps as a stream, deletions in batches
``occupancy``   how full the table is
``reconciler``  the observer, its thread and its budget
============== =====================================================================================
"""
