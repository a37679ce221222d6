"""The agent's files: what it stores and how it writes it."""
