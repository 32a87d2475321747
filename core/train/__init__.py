"""Training: the worker process, its two engines, checkpoints, held-out loss. Only workers import this."""
