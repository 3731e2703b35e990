"""Accounts, clients, grants, tokens and keys."""
