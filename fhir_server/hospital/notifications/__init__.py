"""What patients are told: events in what is written, the Communications made of them, and their delivery by mail."""
