"""Samples from pages in Neuroscope's form."""
