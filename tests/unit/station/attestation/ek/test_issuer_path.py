"""What a chip brings of its issuers' certificates closes a gap under a known vendor, and is never an anchor itself."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared import limits
from shared.errors import BirthmarkError
from station.attestation.ek.roots import DEPTH_MAX, EkRoots, load_ek_roots
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.attestation.ek.verification import EkTrust, EkVerdict, verify_ek
from station.config import EkPolicy
from tests.harness.vendor_lab import NOW, Vendor, ca_issuers, write_roots

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
ROOT = Vendor("Known Root CA")
MIDDLE = Vendor("Middle CA", ROOT)
ISSUING = Vendor("Issuing CA", MIDDLE)


@pytest.fixture
def roots(tmp_path: Path) -> EkRoots:
    return load_ek_roots(write_roots(tmp_path / "roots", ROOT))


def judged(der: bytes, roots: EkRoots, chain: Sequence[bytes]) -> EkVerdict:
    return verify_ek(der, roots, EkPolicy.REQUIRE, now=NOW, key=KEY, chain=chain)


def refusal(der: bytes, roots: EkRoots, chain: Sequence[bytes]) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as caught:
        judged(der, roots, chain)
    return caught.value


# --- honest chips ---


def test_a_chip_whose_issuers_the_station_lacks_is_verified_by_what_it_brings(roots: EkRoots) -> None:
    verdict = judged(ISSUING.ek(KEY), roots, [ISSUING.der, MIDDLE.der])
    assert (verdict.trust, verdict.anchor) == (EkTrust.VERIFIED, "CN=Known Root CA")
    assert verdict.reason == "the chip brought the certificate of its issuer, CN=Issuing CA"


@pytest.mark.parametrize(
    "chain",
    [
        [MIDDLE.der, ISSUING.der],
        [ISSUING.der, MIDDLE.der, ROOT.der],
        [b"\xff" * 40, ISSUING.der + b"\0" * 50, b"", MIDDLE.der],
        [ISSUING.der, ISSUING.der, MIDDLE.der],
    ],
    ids=["any order", "with the root", "garbage and padding", "one twice"],
)
def test_order_garbage_and_the_root_itself_do_not_matter(roots: EkRoots, chain: list[bytes]) -> None:
    assert judged(ISSUING.ek(KEY), roots, chain).anchor == "CN=Known Root CA"


def test_a_known_intermediate_is_an_anchor_as_well(tmp_path: Path) -> None:
    only_middle = load_ek_roots(write_roots(tmp_path / "roots", MIDDLE))
    assert judged(ISSUING.ek(KEY), only_middle, [ISSUING.der]).anchor == "CN=Middle CA"


def test_what_the_station_knows_is_preferred_to_what_the_chip_brings(tmp_path: Path) -> None:
    all_known = load_ek_roots(write_roots(tmp_path / "roots", ROOT, MIDDLE, ISSUING))
    assert judged(ISSUING.ek(KEY), all_known, [ISSUING.der, MIDDLE.der]).reason == ""


def test_an_issuer_whose_lifetime_has_ended_counts_as_one_in_the_directory_does(roots: EkRoots) -> None:
    later = verify_ek(
        ISSUING.ek(KEY, until=NOW + dt.timedelta(days=40_000)),
        roots,
        EkPolicy.REQUIRE,
        now=NOW + dt.timedelta(days=20_000),
        key=KEY,
        chain=[ISSUING.der, MIDDLE.der],
    )
    assert later.trust is EkTrust.VERIFIED


def test_the_missing_certificate_is_the_one_above_what_the_chip_brings(roots: EkRoots) -> None:
    unknown = Vendor("Unknown Root CA")
    issuing = Vendor("Its CA", unknown, extensions=[(ca_issuers("http://pki.vendor.example/root.crt"), False)])
    error = refusal(issuing.ek(KEY), roots, [issuing.der])
    assert error.code == "attestation.ek-untrusted"
    assert error.detail == (
        "its issuer is CN=Its CA, whose certificate it brings; the highest that it brings is issued by CN=Unknown Root "
        f"CA (the chip gives its address as http://pki.vendor.example/root.crt), which is not in {roots.directory}"
    )


# --- what an operator has distrusted ---


def test_a_distrusted_issuer_counts_neither_in_the_directory_nor_from_a_chip(tmp_path: Path) -> None:
    directory = write_roots(tmp_path / "roots", ROOT, MIDDLE, ISSUING)
    assert judged(ISSUING.ek(KEY), load_ek_roots(directory), []).trust is EkTrust.VERIFIED
    (directory / "issuing.pem.distrusted").write_bytes(ISSUING.pem())
    roots = load_ek_roots(directory)
    assert (roots.count, roots.problems) == (2, [])
    renewed = Vendor("Issuing CA", MIDDLE, key=ISSUING.key)
    for chain in ([], [ISSUING.der], [renewed.der]):
        error = refusal(ISSUING.ek(KEY), roots, chain)
        assert error.code == "attestation.ek-untrusted"
        assert error.detail.endswith(f", which is distrusted in {directory}")


def test_nothing_that_a_distrusted_root_issued_counts_although_the_directory_has_it(tmp_path: Path) -> None:
    other = Vendor("Other Root CA")
    directory = write_roots(tmp_path / "roots", ROOT, MIDDLE, ISSUING, other)
    (directory / "root.pem.distrusted").write_bytes(ROOT.pem())
    roots = load_ek_roots(directory)
    assert (roots.count, roots.problems) == (1, [])
    for chain in ([], [ISSUING.der], [ISSUING.der, MIDDLE.der, ROOT.der]):
        assert refusal(ISSUING.ek(KEY), roots, chain).detail.endswith(f", which is distrusted in {directory}")
    assert judged(other.ek(KEY), roots, []).trust is EkTrust.VERIFIED


# --- dishonest chips ---


def made_by(forger: Vendor) -> tuple[bytes, list[bytes]]:
    """An EK certificate of a forger's own CA, whose chain names the known vendor wherever it can."""
    false_root = Vendor("Known Root CA", key=forger.key)
    below = Vendor("Middle CA", false_root)
    return below.ek(KEY), [below.der, false_root.der]


def crossed() -> tuple[bytes, list[bytes]]:
    """Four CAs that vouch for each other in a circle, so that there are many ways and no end."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(4)]
    names = ["One", "Two", "Three", "Four"]
    alone = [Vendor(name, key=key) for name, key in zip(names, keys, strict=True)]
    circle = [Vendor(names[n], alone[(n + 1) % 4], key=keys[n]) for n in range(4)]
    return circle[0].ek(KEY), [vendor.der for vendor in circle]


def all_of_one_name() -> tuple[bytes, list[bytes]]:
    """Four certificates of one name and key: each seems to have issued each."""
    key = ec.generate_private_key(ec.SECP256R1())
    same = [Vendor("Same", key=key) for _ in range(4)]
    return same[0].ek(KEY), [vendor.der for vendor in same]


def two_hundred() -> tuple[bytes, list[bytes]]:
    last = ROOT
    chain = []
    for number in range(200):
        last = Vendor(f"CA {number}", last)
        chain.append(last.der)
    return last.ek(KEY), chain[::-1]


def below_a_device() -> tuple[bytes, list[bytes]]:
    """A certificate that a vendor gave to no CA signs another one."""
    device = Vendor("Some Device", ROOT, constraints=x509.BasicConstraints(ca=False, path_length=None))
    return device.ek(KEY), [device.der]


def of_another_purpose() -> tuple[bytes, list[bytes]]:
    web = Vendor("Web CA", ROOT, extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)])
    return web.ek(KEY), [web.der]


def garbage() -> tuple[bytes, list[bytes]]:
    return ISSUING.ek(KEY), [os.urandom(4096) for _ in range(4)]


ATTACKS = [
    (lambda: made_by(Vendor("Forger")), "attestation.ek-forged"),
    (crossed, "attestation.ek-untrusted"),
    (all_of_one_name, "attestation.ek-untrusted"),
    (two_hundred, "attestation.ek-untrusted"),
    (below_a_device, "attestation.ek-untrusted"),
    (of_another_purpose, "attestation.ek-untrusted"),
    (garbage, "attestation.ek-untrusted"),
]


@pytest.mark.attack("a chip brings a chain of its own: own root, loops, 200 certificates, no CA, garbage")
@pytest.mark.parametrize(
    ("chip", "code"),
    ATTACKS,
    ids=["own root", "loop", "one name", "two hundred", "no CA", "another purpose", "garbage"],
)
def test_a_chain_of_a_chips_own_making_leads_nowhere(
    roots: EkRoots, chip: Callable[[], tuple[bytes, list[bytes]]], code: str, got: Callable[[str], None]
) -> None:
    der, chain = chip()
    error = refusal(der, roots, chain)
    assert error.code == code, error
    assert error.detail.isprintable()
    assert len(error.detail) < 900 + len(str(roots.directory))
    got(f"nothing: refused [{error.code}]")


def test_a_vendor_that_allows_no_ca_below_it_has_none_by_a_chips_word(tmp_path: Path) -> None:
    strict = Vendor("Strict Root CA", path_length=0)
    below = Vendor("Below", strict)
    error = refusal(below.ek(KEY), load_ek_roots(write_roots(tmp_path / "roots", strict)), [below.der])
    assert error.code == "attestation.ek-untrusted"
    assert "CN=Strict Root CA allows only 0 CAs below it" in error.detail


def test_the_length_of_a_path_counts_what_the_chip_brings(tmp_path: Path) -> None:
    ladder = [ROOT]
    for number in range(DEPTH_MAX):
        ladder.append(Vendor(f"Step {number}", ladder[-1]))
    roots = load_ek_roots(write_roots(tmp_path / "roots", *ladder[:-2]))
    chain = [vendor.der for vendor in ladder[-2:]]
    assert judged(ladder[-2].ek(KEY), roots, chain).trust is EkTrust.VERIFIED
    assert "longer than" in refusal(ladder[-1].ek(KEY), roots, chain).detail


def test_few_signatures_are_verified_however_the_chain_is_made(roots: EkRoots, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = 0
    honest = VendorCertificate.is_issued_by

    def counted(self: VendorCertificate, issuer: VendorCertificate) -> bool:
        nonlocal verified
        verified += 1
        return honest(self, issuer)

    monkeypatch.setattr(VendorCertificate, "is_issued_by", counted)
    for chip in (crossed, all_of_one_name, two_hundred):
        verified = 0
        refusal(*_with(chip(), roots))
        assert verified <= (limits.EK_CHAIN_CERTIFICATES + 1) * limits.EK_CHAIN_CERTIFICATES


def _with(chip: tuple[bytes, list[bytes]], roots: EkRoots) -> tuple[bytes, EkRoots, list[bytes]]:
    return chip[0], roots, chip[1]
