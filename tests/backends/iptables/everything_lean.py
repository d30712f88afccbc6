"""A pytest plugin: the iptables backends write the lean form whatever the number of endpoints.

For the conformance suite, whose clusters are small: ``pytest -p tests.backends.iptables.everything_lean``.
"""

from pointsman.backends.iptables import form

setattr(form, "LEAN_ABOVE", -1)  # noqa: B010 - a constant is assigned to on purpose
setattr(form, "LEAN_DOWN_TO", -1)  # noqa: B010
