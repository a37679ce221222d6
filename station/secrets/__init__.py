"""What is sealed, and under what: the station secret, the key tables, blind indices."""
