"""What a token allows: its scopes, the one access rule, and what each kind of caller may write."""
