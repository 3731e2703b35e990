"""Secrets and signatures: codes and tokens, how long each lives, and how id_tokens are signed."""
