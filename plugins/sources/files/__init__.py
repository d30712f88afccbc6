"""``--source files:PATH``: objects from YAML and JSON files, without Kubernetes.

Read are the ``*.yaml``, ``*.yml`` and ``*.json`` files of a directory, or one file of any name. `documents`
says what these may hold, `holdings` what happens when one breaks or two hold the same object, `tree` which
files are followed through which links. To replace a file, rename another over it: what a slow writer leaves
half done for a moment may be read.
"""
