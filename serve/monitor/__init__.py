"""The monitor: what the journal says about how the Arbiter does."""
