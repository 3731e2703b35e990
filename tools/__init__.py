"""What makes the shipped artefacts, reproducibly."""
