"""Signing in with outside identity providers: from the sign-in page there and back, linking, and signing out."""
