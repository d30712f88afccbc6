"""The engine: every decision, no effect.

Nothing here touches a kernel, a socket or a file. Objects come in decoded (`apis`), changes are
tracked (`servicemap`, `endpointsmap`), every rule of the Kubernetes service contract is applied once
(`topology`, `frontends`), and what leaves is a `SyncPlan` that a dataplane only has to translate.
"""

if __name__ == "core":  # found by path, beside the package: two copies of every type
    raise ImportError("import pointsman.core, not the bare folder core/")
