"""Users of the hospital's app: accounts, family, passwords, and their rights over their data."""
