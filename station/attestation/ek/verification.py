"""Decides whether a TPM vendor's certificate vouches for an endorsement key. Takes bytes, returns a verdict.

1. The certificate is read, padding and all (`vendor_certificate`).
2. It is for the very key that the unit sent. Whatever the policy, another TPM's certificate is refused.
3. It is an EK certificate: no CA's, for encryption, with the TCG's extended key usage, no unknown critical extension.
4. Its key is not of the library whose keys can be computed (`roca`).
5. A vendor's certificate from the station's directory issued it, or issued what the chip brings in between
   (`issuer_path`).
6. The key is of the one template that the station asks for (`require_template`).

Lifetimes are not enforced: many end while the chips are still in use, and a chip never gets a new certificate.
Revocation is not checked: a station works without a network.

The caller must also have the TPM prove that it holds the key (`evidence`), since a certificate is public.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from cryptography.hazmat.primitives.asymmetric import rsa

from shared.errors import BirthmarkError
from shared.text import printable
from station.attestation.ek import issuer_hints
from station.attestation.ek.issuer_path import IssuerPath, issuer_path, read_chain
from station.attestation.ek.roca import is_roca
from station.attestation.ek.roots import EkRoots
from station.attestation.ek.templates import template_of
from station.attestation.ek.tpm_facts import TpmFacts, facts_of
from station.attestation.ek.vendor_certificate import EK_USAGE, VendorCertificate
from station.attestation.tpm2.structures import Public, PublicKey
from station.config import EkPolicy, EkTemplateName


class EkTrust(StrEnum):
    """How far a unit's TPM is known to be genuine."""

    VERIFIED = "verified"
    """A known vendor vouches for it."""
    SIMULATED = "simulated"
    """Its certificate names a simulator, and the policy accepts simulators."""
    UNVERIFIED = "unverified"
    """The policy accepted it without a valid certificate."""


@dataclass(frozen=True, slots=True)
class EkVerdict:
    """Why an endorsement key was accepted. A refusal is an error."""

    trust: EkTrust
    reason: str
    """Why it is not verified, or what is unusual about it; else empty."""
    anchor: str
    """The subject of the highest known certificate above it (RFC 4514); empty without one."""
    facts: TpmFacts | None


@dataclass(frozen=True, slots=True)
class MissingIssuer:
    """The certificate that is missing between an EK certificate and the station's directory. Printable."""

    name: str
    key_identifier: str
    """Hexadecimal; empty if it is not named."""
    address: str
    """Where the chip says that its vendor publishes it; empty if it says nothing fit to show. Never followed."""


def verify_ek(
    der_padded: bytes,
    roots: EkRoots,
    policy: EkPolicy,
    *,
    now: dt.datetime,
    key: PublicKey,
    chain: Sequence[bytes] = (),
) -> EkVerdict:
    """Judge the certificate `der_padded` (as read from NV; empty if there is none) of the endorsement key `key`.

    `chain` is what the chip brings of its issuers' certificates.

    `require` raises `attestation.ek-missing`, `-malformed`, `-other-key`, `-not-an-ek`, `-weak-key`, `-untrusted`,
    `-self-signed` or `-forged`. `record` raises only `attestation.ek-other-key`; all else makes the unit unverified.
    `simulator` raises as `require` does, except that a certificate of swtpm (manufacturer id:00001014, model swtpm)
    needs no known issuer, because swtpm makes a new CA for each TPM. Anybody can write such a certificate, for any key,
    so it proves nothing.
    """
    facts = None
    try:
        certificate = _read_for(key, der_padded)
        facts = facts_of(certificate)
        return judge_certificate(certificate, roots, now, read_chain(chain))
    except BirthmarkError as error:
        if error.code == "attestation.ek-other-key":
            raise
        match policy:
            case EkPolicy.REQUIRE:
                raise
            case EkPolicy.RECORD:
                return EkVerdict(EkTrust.UNVERIFIED, error.sentence, "", facts)
            case EkPolicy.SIMULATOR:
                no_issuer = error.is_any("attestation.ek-untrusted", "attestation.ek-forged")
                if not no_issuer or facts is None or not facts.is_swtpm:
                    raise
                return EkVerdict(EkTrust.SIMULATED, "it is a TPM simulator, whose keys are files", "", facts)
            case _ as unreachable:
                assert_never(unreachable)


def _read_for(key: PublicKey, der_padded: bytes) -> VendorCertificate:
    if not der_padded:
        raise BirthmarkError("attestation.ek-missing")
    certificate = VendorCertificate.read(der_padded)
    if certificate.key != key:
        raise BirthmarkError("attestation.ek-other-key")
    return certificate


def judge_certificate(
    certificate: VendorCertificate, roots: EkRoots, now: dt.datetime, chain: Sequence[VendorCertificate] = ()
) -> EkVerdict:
    """Make steps 3 to 5: judge a certificate by itself, without a TPM. Raises as `require` does."""
    if why := _why_no_ek(certificate):
        raise BirthmarkError("attestation.ek-not-an-ek", why)
    if isinstance(certificate.key, rsa.RSAPublicKey) and is_roca(certificate.key.public_numbers().n):
        raise BirthmarkError("attestation.ek-weak-key")
    path = issuer_path(certificate, roots, chain)
    anchor = path.anchor(roots)
    if anchor is None:
        raise _no_issuer(certificate, path, roots)
    facts = facts_of(certificate)
    oddities = []
    if (end := certificate.view.not_valid_after_utc) < now:
        oddities.append(f"its lifetime ended on {end:%Y-%m-%d}, which TPM vendors let happen")
    if facts is not None and facts.is_swtpm:
        oddities.append("it calls itself a TPM simulator")
    if path.brought:
        oddities.append(f"the chip brought the certificate of its issuer, {printable(path.brought[0].subject)}")
    return EkVerdict(EkTrust.VERIFIED, "; ".join(oddities), printable(anchor.subject), facts)


def missing_issuer(
    certificate: VendorCertificate, roots: EkRoots, chain: Sequence[VendorCertificate] = ()
) -> MissingIssuer | None:
    """Return what is missing above a certificate; None if nothing is."""
    path = issuer_path(certificate, roots, chain)
    return None if path.known else _missing_above(_top(certificate, path))


def require_template(verdict: EkVerdict, ek: Public, wanted: EkTemplateName) -> None:
    """Make step 6. Raises `attestation.ek-other-template`.

    A genuine TPM has several certified EKs and can hide any of them: only when all units show the one of the same
    template, an EK stands for a TPM. It is not asked of simulators, whose EKs are files, nor of what no vendor vouches
    for, since anybody can make any number of either.
    """
    if verdict.trust is not EkTrust.VERIFIED or (verdict.facts is not None and verdict.facts.is_swtpm):
        return
    template = template_of(ek)
    found = template.name if template is not None else "of no template"
    if found != wanted.value:
        raise BirthmarkError("attestation.ek-other-template", f"it is {found}, and the station asks for {wanted.value}")


def _no_issuer(certificate: VendorCertificate, path: IssuerPath, roots: EkRoots) -> BirthmarkError:
    """Return the error: an issuer's certificate is missing or does not count, or it is there and did not sign."""
    top = _top(certificate, path)
    named = roots.named(top.issuer)
    if not named and certificate.issuer == certificate.subject:
        return BirthmarkError("attestation.ek-self-signed", printable(certificate.issuer))
    missing = _missing_above(top)
    way = f"its issuer is {printable(certificate.issuer) or 'without a name'}"
    if path.brought:
        way += f", whose certificate it brings; the highest that it brings is issued by {missing.name}"
    facts = facts_of(certificate)
    case = "simulator" if facts is not None and facts.is_swtpm else ""
    if path.problem:
        return BirthmarkError("attestation.ek-untrusted", f"{way}; {path.problem}", case)
    if any(not top.names_another_key(candidate) for candidate in named):
        return BirthmarkError("attestation.ek-forged", f"{way}, whose certificate is in {roots.directory}", case)
    particulars = []
    if missing.key_identifier:
        particulars.append(f"authority key identifier {missing.key_identifier}")
    if missing.address:
        particulars.append(f"the chip gives its address as {missing.address}")
    said = f" ({'; '.join(particulars)})" if particulars else ""
    known = "only one of that name with another key" if named else "not"
    if roots.distrusts_name(top.issuer):
        known = "distrusted"
    return BirthmarkError("attestation.ek-untrusted", f"{way}{said}, which is {known} in {roots.directory}", case)


def _top(certificate: VendorCertificate, path: IssuerPath) -> VendorCertificate:
    return path.brought[-1] if path.brought else certificate


def _missing_above(top: VendorCertificate) -> MissingIssuer:
    return MissingIssuer(
        printable(top.issuer) or "without a name",
        top.issuer_key_identifier.hex(":"),
        issuer_hints.issuer_address(top.der),
    )


def _why_no_ek(certificate: VendorCertificate) -> str:
    """Return why this is no EK certificate.

    Checks what real certificates follow of TCG EK Credential Profile 2.5, 3.1.3.
    """
    constraints, usage, extended = certificate.basic_constraints, certificate.key_usage, certificate.extended_key_usage
    if constraints is not None and constraints.ca:
        return "it is a CA's"
    if usage is not None and (usage.key_cert_sign or usage.crl_sign):
        return "its key may sign certificates"
    if usage is not None and not (usage.key_encipherment or usage.key_agreement):
        return "its key is not for encrypting"
    if extended is None and facts_of(certificate) is None:
        return "neither its extended key usage nor its subjectAltName speak of a TPM"
    if extended is not None and EK_USAGE not in extended:
        return "its extended key usage is another"
    if unknown := certificate.not_understood():
        return f"it has unknown critical extensions ({', '.join(unknown)})"
    return ""
