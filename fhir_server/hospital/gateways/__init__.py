"""What the hospital asks of the world outside: card payments and mail."""
