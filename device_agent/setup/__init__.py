"""Makes a Pi, or an image for one, ready for its first provisioning: boot overlays, root certificate, NUC map."""
