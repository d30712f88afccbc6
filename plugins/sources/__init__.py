"""Where objects come from: one package or module per kind of source."""
