"""The ipvs backend; its README tells how it works."""
