"""The jobs of the benchmark of sweeps, and what the machine has to give them."""
