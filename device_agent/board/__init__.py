"""The board: device tree, USB gadget, LED and display."""
