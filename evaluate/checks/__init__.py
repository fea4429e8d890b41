"""Mechanical checks: leaks, accounting and luck, each a function with a verdict."""
