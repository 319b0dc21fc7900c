"""What everything else stands on: records, contracts, the registry, and the errors that users see."""
