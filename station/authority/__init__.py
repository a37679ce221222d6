"""The certificate authority: root (kept off the station after `init`), intermediate (signs), and this station."""
