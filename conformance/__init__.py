if __name__ == "conformance":  # found by path, beside the package: two copies of every type
    raise ImportError("import pointsman.conformance, not the bare folder conformance/")
