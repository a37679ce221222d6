"""The registry: one database of units, their certificates and tables, the sealed master keys and the audit log."""
