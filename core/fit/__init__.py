"""The command `fit`: what a training would take, before it starts."""
