"""The station's identity: its chain, its signatures, and the earliest time that it believes."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from station.authority.station_identity import StationIdentity
from tests.harness.certificates import NOW, chain_of_trust

AUTHORITY = chain_of_trust()
IDENTITY = StationIdentity(AUTHORITY.station, (AUTHORITY.intermediate, AUTHORITY.root), AUTHORITY.station_key)


def test_its_chain_leads_from_the_station_to_the_root() -> None:
    chain = [x509.load_der_x509_certificate(der) for der in IDENTITY.chain]
    assert chain == [AUTHORITY.station, AUTHORITY.intermediate, AUTHORITY.root]
    for below, above in pairwise(chain):
        below.verify_directly_issued_by(above)


def test_the_station_signs_with_the_key_of_its_certificate() -> None:
    key = IDENTITY.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(IDENTITY.sign(b"said"), b"said", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(IDENTITY.sign(b"said"), b"not said", ec.ECDSA(hashes.SHA256()))


def test_a_clock_that_was_set_back_says_no_time_before_the_stations_certificate() -> None:
    assert IDENTITY.now(NOW - dt.timedelta(days=4000)) == IDENTITY.certificate.not_valid_before_utc
    assert IDENTITY.now(NOW + dt.timedelta(days=1)) == NOW + dt.timedelta(days=1)
