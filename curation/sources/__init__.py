"""Where raw records come from: one file, one source."""
