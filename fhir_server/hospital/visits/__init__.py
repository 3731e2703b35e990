"""The day of the visit: arrival, the queue, the end."""
