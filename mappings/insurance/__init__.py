"""Policies, and whether they cover a service."""
