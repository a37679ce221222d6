"""What both ends of the cable must agree on. It imports no port, disk, clock or TPM library, and neither end."""
