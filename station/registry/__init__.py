"""The registry: every unit, its certificate and tables, the sealed master keys, and the audit log. One database."""
