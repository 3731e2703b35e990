"""Putting the server together: the engine, the hospital and their jobs as one application."""
