"""Language models: one file, one kind."""
