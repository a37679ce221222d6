"""Sessions with a station, from the agent's end."""
