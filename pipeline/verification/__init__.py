"""Step 2: do a neuron's phrases survive substitution?"""
