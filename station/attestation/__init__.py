"""Verifies that a unit's keys are in a genuine TPM. In software: imports no TPM library, port or registry."""
