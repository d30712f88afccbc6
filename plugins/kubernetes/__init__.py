"""Kubernetes itself: objects from an API server, and Events to it.

`source` follows each kind with a `reflector`, which lists and watches through a `client`; `credentials` and
`kubeconfig` find the way to the server and keep it open. `events` posts what happened.
"""
