"""Step 3: what do a neuron's phrases have in common?"""
