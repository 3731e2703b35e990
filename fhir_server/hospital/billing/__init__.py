"""What is owed, paid and refunded."""
