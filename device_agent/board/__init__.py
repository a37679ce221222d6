"""The board: device tree, USB gadget, LED, display and service manager."""
