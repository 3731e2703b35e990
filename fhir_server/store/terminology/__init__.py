"""What terminology operations keep and read beside the resources themselves."""
