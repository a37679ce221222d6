"""What both programs share beside the protocol: commands, clock, private files and systemd."""
