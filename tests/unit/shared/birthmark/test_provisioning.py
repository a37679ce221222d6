"""The provisioning file: what is not there is left out, and no secret shows in its repr."""

from __future__ import annotations

import msgspec

from shared.birthmark.provisioning import Provisioning

OWN_KEY = Provisioning("CAM-1", "Camera", "a certificate", "its issuer's", "a key", [1, 2, 3], "software")
SECRETS = {"nuc_hash": "5e" * 32, "device_private_key": "a private key", "master_keys": {"1": "a5" * 32}}


def test_a_unit_with_its_own_key_has_no_field_for_what_it_keeps() -> None:
    assert not msgspec.to_builtins(OWN_KEY).keys() & SECRETS.keys()


def test_no_secret_of_a_unit_shows() -> None:
    shown = repr(msgspec.convert(msgspec.to_builtins(OWN_KEY) | SECRETS, Provisioning))
    assert "CAM-1" in shown
    assert not any(secret in shown for secret in ("5e5e", "a private key", "a5a5"))
