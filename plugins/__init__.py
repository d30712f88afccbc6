if __name__ == "plugins":  # found by path, beside the package: two copies of every type
    raise ImportError("import pointsman.plugins, not the bare folder plugins/")
