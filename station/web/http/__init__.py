"""What holds for every request and answer: bodies, errors, limits, headers."""
