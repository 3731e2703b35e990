"""What all mappings share: elements, extensions, reading, clocks and money."""
