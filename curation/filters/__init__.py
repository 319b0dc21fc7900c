"""A score and a bound: one file, one filter."""
