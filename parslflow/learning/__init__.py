"""From a simulation's fields to a network that runs inside another."""
