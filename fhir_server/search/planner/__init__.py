"""From a query tree to a plan for the key index."""
