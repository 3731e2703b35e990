"""Storing what comes in bulk: lines and bundles as transactions, each taken apart where a part of it is refused."""
