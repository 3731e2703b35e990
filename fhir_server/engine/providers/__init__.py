"""Users of outside identity providers: which account each is, what they may do, and how long their sign-in holds."""
