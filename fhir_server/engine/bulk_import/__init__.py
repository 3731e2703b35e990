"""$import: lines of resources are fetched and stored behind the scenes, each once; what is refused is reported."""
