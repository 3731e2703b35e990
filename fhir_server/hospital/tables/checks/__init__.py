"""What the source's schema forbids, and what is only odd: `docs/operate/import.md` has the table of all rules."""
