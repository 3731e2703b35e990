"""One module per search parameter type; each owns what is indexed and what a query becomes."""
