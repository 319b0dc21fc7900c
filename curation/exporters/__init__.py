"""What writes a finished split for those who train on it: one file, one exporter."""
