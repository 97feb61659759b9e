"""Asking a site politely."""
