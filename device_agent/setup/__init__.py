"""Prepares a Pi, or an image for one, for its first provisioning: boot overlays, root certificate, NUC map."""
