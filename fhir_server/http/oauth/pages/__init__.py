"""Pages for people: sign-in, consent, pickers and the apps that have access."""
