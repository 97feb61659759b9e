"""Blocks of models without their hooks, one module per form."""
