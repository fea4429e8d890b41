"""Inference on returns and losses: pure functions, cited."""
