"""What the node is to be like for a service proxy to work well: settings of the kernel and of the process."""
