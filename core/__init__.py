if __name__ == "core":  # found by path, beside the package: two copies of every type
    raise ImportError("import pointsman.core, not the bare folder core/")
