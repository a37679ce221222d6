"""Takes over the data directory of the public JSON-file SMA, completely or not at all."""
