"""The NUC map: measures a sensor's pattern, encodes it as a file, and checks whether new frames show the same pattern.

`device_agent.cli.nuc` writes files and prints. The rest of the agent needs only a map's hash, which
`device_agent.storage.sealed_map` computes without importing this package.
"""
