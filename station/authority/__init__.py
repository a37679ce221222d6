"""The certificate authority: a root that is put away after `init`, an intermediate that signs, and this station."""
