"""The board: its facts, its USB gadget, its LED, its service manager."""
