"""The station: the simulated manufacturer authority that provisions the Pis plugged into it."""
