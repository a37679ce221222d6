"""The station secret, and what is encrypted or indexed under it: key tables, blind indexes."""
