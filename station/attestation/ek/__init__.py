"""Endorsement keys: certificates, TPM vendors, templates."""
