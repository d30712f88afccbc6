"""The nftables backend: flat maps over raw netlink, no object per service. See the README beside this."""
