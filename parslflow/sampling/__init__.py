"""From the tiles of a running simulation to the samples that are new to the networks."""
