"""How a stage is run, and what it is."""
