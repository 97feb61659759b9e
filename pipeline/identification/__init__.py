"""Step 1: are a neuron's phrases alike?"""
