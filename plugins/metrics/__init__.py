"""Metrics: kube-proxy's, by their names, and ours beside them."""
