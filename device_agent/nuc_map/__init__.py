"""The NUC map: how a sensor's own pattern is measured, what file it becomes, and whether new frames still show it.

Bytes, frames and figures only. Nothing here writes to the disk or talks to a person: that is `device_agent.cli.nuc`.
What every other part of the agent needs of a map is its hash (`device_agent.storage.sealed_map`), and for that nothing
here is loaded.
"""
