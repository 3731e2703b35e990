"""A patient's record as one page to read: its words, its names and its view."""
