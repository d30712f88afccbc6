"""The iptables dataplane: the chains that everybody knows, on whichever iptables the node uses."""
