"""Walk-forward sweeps: folds, jobs that are never computed twice, backends, leaderboards."""
