"""Reads the TPM vendors' roots and intermediates, which the station trusts, from a directory.

The station trusts every CA certificate in the directory, because the operator put it there: an intermediate needs no
root beside it. If its issuers are there too, the highest of them is named as the anchor, and their limits on the length
of a path are enforced.

A file whose name ends in `.distrusted` says the opposite: no certificate for a key in it counts, and none that such a
key issued, in this directory or from a chip.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from runtime.files import read_bounded
from shared.text import printable
from station.attestation.ek.bundle import FILE_BYTES_MAX, Bundle, read_bundle
from station.attestation.ek.vendor_certificate import VendorCertificate

FILES_MAX: Final = 1024
CERTIFICATES_MAX: Final = 1024
"""The most certificates in a directory. Collections of TPM vendors have some hundreds, of about 1 KiB each."""

DEPTH_MAX: Final = 5
"""The most certificates in a path above the EK certificate's issuer, root included. Vendors use three."""

DISTRUSTED: Final = ".distrusted"

_SAME_NAME_MAX: Final = 32
"""The most certificates of one name that are tried as an issuer: vendors renew a certificate a few times."""

_LEFT_OUT_SAID: Final = 16
"""The most certificates of one file that are named because they cannot be read."""

Certificates: TypeAlias = tuple[VendorCertificate, ...]


@dataclass(frozen=True, slots=True)
class EkRoots:
    """The vendors' certificates of one directory."""

    directory: Path = Path()
    issuers: Certificates = ()
    problems: list[str] = field(default_factory=list)
    """What the station cannot use and why, for the operator."""
    files: dict[str, Certificates] = field(default_factory=dict)
    """The certificates read from each file, used or not."""
    distrusted: Certificates = ()
    """What the operator has distrusted: none of their keys counts."""
    under_distrusted: Certificates = ()
    """The directory's certificates that these issued, or issued through each other."""
    _by_subject: dict[str, list[VendorCertificate]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.issuers)

    def named(self, issuer: str) -> list[VendorCertificate]:
        """Return the certificates with the subject `issuer` (RFC 4514). The caller finds out which of them signed."""
        return self._by_subject.get(_comparable(issuer), [])[:_SAME_NAME_MAX]

    def distrusts(self, certificate: VendorCertificate) -> bool:
        """Whether the operator has distrusted the certificate's key, or the key of one above it."""
        if any(certificate.key == distrusted.key for distrusted in self.distrusted):
            return True
        return any(_issued(certificate, by) for by in (*self.distrusted, *self.under_distrusted))

    def distrusts_name(self, name: str) -> bool:
        """Whether a distrusted certificate, or one under it, has the subject `name` (RFC 4514)."""
        return any(_comparable(name) == _comparable(c.subject) for c in (*self.distrusted, *self.under_distrusted))

    def path(self, issuer: VendorCertificate) -> list[VendorCertificate]:
        """Return the path from `issuer` up to its anchor, at most `DEPTH_MAX` + 1 certificates."""
        path = [issuer]
        while len(path) <= DEPTH_MAX:
            parent = next(
                (c for c in self.named(path[-1].issuer) if c.der != path[-1].der and path[-1].is_issued_by(c)), None
            )
            if parent is None or any(parent.der == c.der for c in path):
                break
            path.append(parent)
        return path


def load_ek_roots(directory: Path, before: EkRoots | None = None) -> EkRoots:
    """Read the PEM and DER files in `directory`. Anything else in it becomes a problem, never an error.

    `before` is the result of an earlier call. When a directory or file that was read then cannot be read now, as in the
    middle of a copy, its earlier certificates stay in use, and it is a problem. Deleted files are no longer used.
    """
    problems: list[str] = []
    paths = _files(directory, problems)
    if paths is None:
        kept = before.count if before else 0
        problem = (
            f"{problems[0]}; the {kept} vendors' certificates read before are still in use" if kept else problems[0]
        )
        return replace(before, problems=[problem]) if before else EkRoots(directory, problems=[problem])
    files = {path.name: _read(path, before.files.get(path.name, ()) if before else (), problems) for path in paths}
    distrusted = tuple(c for name, certificates in files.items() if name.endswith(DISTRUSTED) for c in certificates)
    trusting = {name: certificates for name, certificates in files.items() if not name.endswith(DISTRUSTED)}
    everything = [certificate for certificates in trusting.values() for certificate in certificates]
    roots = EkRoots(directory, distrusted=distrusted, under_distrusted=_issued_by(distrusted, everything))
    found: list[tuple[str, VendorCertificate]] = []
    for name, certificates in trusting.items():
        for certificate in certificates:
            if distrusted and roots.distrusts(certificate):
                continue
            if why := certificate.why_no_issuer():
                problems.append(f"{name}: {printable(certificate.subject)} is not used: {why}")
            elif len(found) < CERTIFICATES_MAX:
                found.append((name, certificate))
            else:
                problems.append(f"{name}: not used, there are more than {CERTIFICATES_MAX} certificates")
    roots = _indexed(replace(roots, problems=problems, files=files), [certificate for _, certificate in found])
    used = []
    for name, certificate in found:
        if why := why_no_path(roots.path(certificate)):
            problems.append(f"{name}: {printable(certificate.subject)} is not used: {why}")
        else:
            used.append(certificate)
    return _indexed(roots, used)


def _indexed(roots: EkRoots, issuers: list[VendorCertificate]) -> EkRoots:
    by_subject: dict[str, list[VendorCertificate]] = defaultdict(list)
    for certificate in issuers:
        by_subject[_comparable(certificate.subject)].append(certificate)
    return replace(roots, issuers=tuple(issuers), _by_subject=dict(by_subject))


def _issued_by(distrusted: Certificates, certificates: list[VendorCertificate]) -> Certificates:
    """Return those of `certificates` that `distrusted` issued, or that these issued."""
    under: list[VendorCertificate] = []
    issuers = list(distrusted)
    while issuers:
        issuer = issuers.pop()
        issued = [c for c in certificates if c not in under and _issued(c, issuer)]
        under += issued
        issuers += issued
    return tuple(under)


def _issued(certificate: VendorCertificate, by: VendorCertificate) -> bool:
    return _comparable(certificate.issuer) == _comparable(by.subject) and certificate.is_issued_by(by)


def _comparable(name: str) -> str:
    """RFC 5280, 7.1: names compare without regard to case and to runs of spaces."""
    return " ".join(name.casefold().split())


def why_no_path(path: list[VendorCertificate]) -> str:
    """Return what is wrong with a path from an EK certificate's issuer up to its anchor; empty if nothing is."""
    if len(path) > DEPTH_MAX:
        return f"its path is longer than {DEPTH_MAX} certificates"
    for below, certificate in enumerate(path):
        constraints = certificate.basic_constraints
        if constraints is not None and constraints.path_length is not None and constraints.path_length < below:
            return f"{printable(certificate.subject)} allows only {constraints.path_length} CAs below it"
    return ""


def _files(directory: Path, problems: list[str]) -> list[Path] | None:
    """Return the files; None if the directory cannot be read, which then is the last of `problems`."""
    try:
        with os.scandir(directory) as entries:
            paths = [Path(entry.path) for entry in entries if not entry.name.startswith(".") and _is_file(entry)]
    except OSError as error:
        problems.append(f"{directory}: {error.strerror}")
        return None
    if len(paths) > FILES_MAX:
        problems.append(f"{directory}: only the first {FILES_MAX} of {len(paths)} files were read")
    return sorted(paths)[:FILES_MAX]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to where this user may not go: reading it says so
        return True


def _read(path: Path, before: Certificates, problems: list[str]) -> Certificates:
    """Return the certificates in a file; with those of `before` too if not all of it can be read."""
    try:
        bundle = read_bundle(read_bounded(path, FILE_BYTES_MAX))
    except OSError as error:
        bundle = Bundle((), (str(error.strerror),))
    if not bundle.left_out:
        return bundle.certificates
    new = {certificate.der for certificate in bundle.certificates}
    kept = [certificate for certificate in before if certificate.der not in new]
    still = f"; {len(kept)} read from it before are still in use" if kept else ""
    problems += [f"{path.name}: {why}{still}" for why in bundle.left_out[:_LEFT_OUT_SAID]]
    if (more := len(bundle.left_out) - _LEFT_OUT_SAID) > 0:
        problems.append(f"{path.name}: {more} more cannot be read{still}")
    return (*bundle.certificates, *kept)
