"""What the agent keeps on the disk, and how it writes it."""
