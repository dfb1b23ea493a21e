"""What parslflow's hot paths cost, each against what a user would do without it."""
