"""Starts the simulations that take part in a run."""
