"""The dataplanes: each translates the node-local model, and none knows another or decides anything.

`pointsman.backends.memory` interprets the model without a kernel and says what is right; the others make
a kernel do the same. All are found through the hook ``pointsman_register_backends``, as third parties' are.
"""

if __name__ == "backends":  # found by path, beside the package: two copies of every type
    raise ImportError("import pointsman.backends, not the bare folder backends/")
