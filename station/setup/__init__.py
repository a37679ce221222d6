"""Who makes a station: its data directory, `init`, opening it, import, backup."""
