"""One session after another, from the agent's end."""
