"""Reinforcement learning on the TFT encoder; import what is needed from the modules."""
