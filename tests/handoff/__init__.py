"""The hand-off folder, read by those who train on it: `make test-handoff`, each file in its own environment."""
