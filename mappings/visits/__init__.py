"""Visits and the waiting queue."""
