"""What makes the station believe that a key is in a genuine TPM. Software only: no TPM library, port or registry."""
