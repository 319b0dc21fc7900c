"""What writes new records from a record: one file, one generator."""
