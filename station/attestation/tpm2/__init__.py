"""TPM 2.0 structures and protections in software, without a TPM library."""
