"""People who sign in: their accounts, names and passwords, and how often one may try."""
