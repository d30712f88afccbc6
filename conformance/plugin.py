"""Pytest plugin: options and fixtures of the conformance suite."""
