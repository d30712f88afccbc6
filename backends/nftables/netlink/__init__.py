"""nf_tables over netlink: the nftables backend's only door to the kernel."""
