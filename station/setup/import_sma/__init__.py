"""Imports the data directory of Birthmark's public SMA, completely or not at all."""
