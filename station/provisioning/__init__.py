"""Who gets what: certificates and key tables for units, over the cable or without one."""
