"""The HTTP service around an Arbiter."""
