"""Faults of whole processes: the real programs on real ttys. Filled in below."""

SWEEPS = ()
