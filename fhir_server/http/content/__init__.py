"""Bodies and their representations: media types, encodings, preferences."""
