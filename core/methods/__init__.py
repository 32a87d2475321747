"""Training methods, one file each, and what this machine makes of a recipe (`settle`)."""
