"""The revocation list's profile: RFC 5280's fields, in whole seconds, for the issuer's own certificates."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from station.authority.crl import LIFETIMES, RevokedCertificate, revocation_list
from station.authority.profiles import BACKDATE
from station.registry.records import CrlScope
from station.registry.revocation import RevocationCode
from tests.harness.certificates import NOW, chain_of_trust

AUTHORITY = chain_of_trust()
ODD = dt.datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=dt.UTC)


def signed(
    *revoked: RevokedCertificate, number: int = 1, now: dt.datetime = NOW, scope: CrlScope = CrlScope.DEVICES
) -> x509.CertificateRevocationList:
    builder = revocation_list(AUTHORITY.intermediate, revoked, number, now, scope)
    return builder.sign(AUTHORITY.intermediate_key, hashes.SHA256())


def test_a_crl_names_its_issuer_by_name_and_key_and_has_the_number_given() -> None:
    crl = signed(number=4711)
    assert crl.issuer == AUTHORITY.intermediate.subject
    identifier = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    own = AUTHORITY.intermediate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier == own.digest
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 4711
    assert not any(extension.critical for extension in crl.extensions)


def test_a_crl_begins_a_little_early_and_lasts_its_lifetime_in_whole_seconds() -> None:
    crl = signed(now=ODD)
    assert crl.last_update_utc == ODD.replace(microsecond=0) - BACKDATE
    assert crl.next_update_utc == crl.last_update_utc + LIFETIMES[CrlScope.DEVICES]


def test_each_revoked_certificate_has_its_time_and_reason() -> None:
    codes = list(RevocationCode)
    crl = signed(*(RevokedCertificate(number, ODD, code) for number, code in enumerate(codes, 1)))
    assert len(crl) == len(codes)
    for number, code in enumerate(codes, 1):
        entry = crl.get_revoked_certificate_by_serial_number(number)
        assert entry is not None
        assert entry.revocation_date_utc == ODD.replace(microsecond=0)
        reason = entry.extensions.get_extension_for_class(x509.CRLReason)
        assert reason.value.reason is x509.ReasonFlags(code.value)
        assert not reason.critical


def test_the_time_that_a_list_takes_grows_with_its_entries_and_not_with_their_square() -> None:
    def seconds(count: int) -> float:
        revoked = [RevokedCertificate(number, NOW, "keyCompromise") for number in range(1, count + 1)]
        begun = time.thread_time()
        assert len(signed(*revoked)) == count
        return time.thread_time() - begun

    few = min(seconds(4_000) for _ in range(3))
    assert seconds(64_000) < few * 16 * 3  # the square is another 16 times that


def test_without_revoked_certificates_a_crl_is_valid_and_empty() -> None:
    crl = signed()
    assert len(crl) == 0
    assert crl.is_signature_valid(AUTHORITY.intermediate_key.public_key())


def test_a_reason_that_rfc_5280_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="bored"):
        signed(RevokedCertificate(1, NOW, "bored"))
