"""Backs up a whole station into one encrypted file, and restores it."""
