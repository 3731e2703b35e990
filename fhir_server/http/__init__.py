"""HTTP in and out: negotiation, representation, errors."""
