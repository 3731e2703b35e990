"""Users and their family."""
