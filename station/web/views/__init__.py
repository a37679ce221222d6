"""Makes the texts of the pages from the station's data."""
