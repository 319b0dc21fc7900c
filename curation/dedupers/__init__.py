"""What finds duplicates: one file, one deduper."""
