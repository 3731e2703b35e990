"""The second factor of accounts that use a password: who has one, who must, and whether a code proves it."""
