"""Payments by card: the gateways that charge, and the record of each attempt, so that nothing is charged twice."""
