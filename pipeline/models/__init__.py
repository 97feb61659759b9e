"""The language model whose neurons are measured."""
