"""What jobs, imports and requests must remember beside resources."""
