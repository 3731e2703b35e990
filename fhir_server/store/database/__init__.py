"""The database itself: connection, embedded mongod, transactions, errors, commands."""
