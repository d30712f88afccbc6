"""A small HTTP server for health checks, metrics and pages about this proxy."""
