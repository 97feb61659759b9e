"""Texts, words and word vectors."""
