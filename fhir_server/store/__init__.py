"""The only importer of pymongo: connection, embedded mongod, versions, search execution."""
