"""The station's pages and its HTTP API. Learns of the ports only through `station.events`."""
