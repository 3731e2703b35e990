"""What a resource writes into the search index."""
