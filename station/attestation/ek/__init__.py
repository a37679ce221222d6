"""Endorsement keys: their certificates, their vendors, their templates."""
