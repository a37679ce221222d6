"""What both ends of the cable must agree on. Imports neither end, and no port, disk, clock or TPM library."""
