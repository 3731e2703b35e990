"""Running compiled searches on the key index."""
