"""First-start set-up: finds the machine, makes `.venv`, installs what fits. Standard library only."""
