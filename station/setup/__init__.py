"""Makes and opens a station's data directory: init, import, backup."""
