"""What patients are told."""
