"""The handlers of the HTTP interface, one file for each resource. `station.web.routes` lists every endpoint."""
