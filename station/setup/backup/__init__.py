"""Backup of a whole station into one encrypted file, and the way back."""
