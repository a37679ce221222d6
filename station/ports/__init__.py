"""The station's serial ports: finds them, and holds one session after another on each."""
