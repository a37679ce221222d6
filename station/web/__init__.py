"""The station's pages and its HTTP interface. `station.events` tells them of the ports."""
