"""Versions of resources, their history and their blobs."""
