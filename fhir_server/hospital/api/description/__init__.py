"""The OpenAPI description of the endpoints, with its examples."""
