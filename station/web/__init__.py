"""The station's pages and, beside them, its HTTP API. Learns of the ports only through `station.events`."""
