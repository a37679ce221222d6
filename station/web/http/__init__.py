"""HTTP for every endpoint: bodies, errors, limits, headers."""
