if __name__ == "backends":  # found by path, beside the package: two copies of every type
    raise ImportError("import pointsman.backends, not the bare folder backends/")
