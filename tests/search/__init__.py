"""Search against an independent reading of the specification, and what the database does for it."""
