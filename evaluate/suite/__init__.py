"""Tasks that agents are compared on, and how anybody's agent joins."""
