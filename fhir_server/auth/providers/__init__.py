"""Outside identity providers: what is configured of each, what its tokens say, and how it is asked."""
