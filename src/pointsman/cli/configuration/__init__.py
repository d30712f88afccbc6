"""How the proxy is told what to do: kube-proxy's flags and its configuration file, and our own beside them.

::

    v1alpha1.py    the configuration as an object, typed, with its defaults
    table.py       one entry a setting: field, flags, rule, help, and what becomes of it here
    rules.py       what single values must be
    reading.py     a file  → the object, and what in the file was strange
    flags.py       a command line → values for the object's fields
    effective.py   both together, by kube-proxy's rules of precedence, complete and checked
    engine.py      the object → what the engine is given, by proxy mode
    writing.py     the object → YAML, and /configz
"""
