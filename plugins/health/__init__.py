"""Health: of this proxy, for who restarts it and who sends it traffic, and of load balancers' Services."""
