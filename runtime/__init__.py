"""What both programs share besides the protocol: commands, clock, private files, owners and systemd."""
