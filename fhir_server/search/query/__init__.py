"""From a URL to a query tree, and back."""
