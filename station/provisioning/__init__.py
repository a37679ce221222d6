"""Gives units their certificates and key tables, over the cable or without one."""
