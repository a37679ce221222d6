"""The HTTP interface, one file for each resource; `table` lists every endpoint, and the router and the OpenAPI
document are made from that list."""
