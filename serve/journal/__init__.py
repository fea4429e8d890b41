"""The journal: every bar, decision and outcome, in one SQLite file."""
