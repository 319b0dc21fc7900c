"""What scores a record: one file, one critic."""
