"""The station's serial ports: which there are, and one conversation after another on each."""
