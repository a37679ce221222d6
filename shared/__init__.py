"""What both ends of the cable must agree on. Pure: no port, no disk, no clock, no TPM library, neither side."""
