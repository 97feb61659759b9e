"""Step 0: where texts come from."""
