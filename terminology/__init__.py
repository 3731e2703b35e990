"""Code systems, value sets and concept maps: a library that knows no web framework and no database."""
