"""Errors in a TPM's certificate and statements."""

from __future__ import annotations

from typing import Final

from shared.errors.kind import ErrorKind

_SIMULATOR: Final = {
    "simulator": "Its TPM calls itself a simulator: `birthmark-station serve --ek-policy simulator` accepts one, for "
    "tests only."
}

KINDS: Final[tuple[ErrorKind, ...]] = (
    ErrorKind(
        "attestation.ak-not-fixed",
        "the attestation key could have been made outside this TPM",
        "The unit is faulty or hostile; an honest agent makes it inside.",
    ),
    ErrorKind(
        "attestation.ak-not-restricted",
        "the attestation key signs any data",
        "The unit is faulty or hostile: such a key can forge the TPM's statements.",
    ),
    ErrorKind(
        "attestation.ak-wrong-kind",
        "the attestation key is not of the one kind that is accepted",
        "Update the agent; if it is current, the unit is hostile.",
    ),
    ErrorKind(
        "attestation.attest-malformed",
        "a statement of the TPM cannot be read",
        "The unit is faulty or hostile.",
    ),
    ErrorKind(
        "attestation.certify-other-ak",
        "a statement is not signed by this unit's attestation key",
        "The unit is faulty or hostile: it sent another TPM's statement.",
    ),
    ErrorKind(
        "attestation.certify-other-key",
        "the TPM's statement is about another key than the unit's",
        "The unit is faulty or hostile: the key it sent is not the one in the TPM.",
    ),
    ErrorKind(
        "attestation.certify-other-session",
        "the TPM's statement was made for another session",
        "Plug the unit in again; if it stays so, it replays an old statement.",
    ),
    ErrorKind(
        "attestation.device-key-not-fixed",
        "the device key could have been made outside this TPM, or could leave it",
        "The unit is faulty or hostile; an honest agent makes it inside.",
    ),
    ErrorKind(
        "attestation.device-key-wrong-kind",
        "the device key is not of the one kind that is accepted",
        "Update the agent; if it is current, the unit is hostile.",
    ),
    ErrorKind(
        "attestation.ek-forged",
        "the endorsement key certificate names a vendor we know, but is not signed by it",
        "The TPM is not genuine; or its vendor has another certificate of this name, which must lie there as well.",
        cases=_SIMULATOR,
    ),
    ErrorKind(
        "attestation.ek-malformed",
        "the endorsement key certificate cannot be read",
        "Try it with `birthmark-station ek verify FILE`; the TPM or its NV index may be damaged.",
    ),
    ErrorKind(
        "attestation.ek-missing",
        "the TPM has no endorsement key certificate",
        "Use a TPM with its vendor's certificate, or let the station accept it unverified: `birthmark-station serve "
        "--ek-policy record`.",
    ),
    ErrorKind(
        "attestation.ek-no-template",
        "the endorsement key is not of a kind that TPM vendors certify",
        "It must be of a TCG template (L-1, L-2, H-1 to H-3, H-6, H-7); update the agent or ask the TPM's vendor.",
    ),
    ErrorKind(
        "attestation.ek-not-an-ek",
        "the certificate is not for an endorsement key",
        "A certificate for another purpose proves nothing of a TPM; the unit is faulty or hostile.",
    ),
    ErrorKind(
        "attestation.ek-other-key",
        "the endorsement key certificate is for another TPM's key",
        "The unit is hostile, or its TPM was swapped while it ran; plug it in again.",
    ),
    ErrorKind(
        "attestation.ek-other-template",
        "the endorsement key is of another template than the station asks for",
        "Update the agent. If this TPM has no certificate for a key of that template, it cannot be a unit here: all "
        "units of an authority show the same kind, or a revoked TPM could come back with its other key (`ek_template` "
        "in station.toml, chosen when the station is made).",
    ),
    ErrorKind(
        "attestation.ek-self-signed",
        "the endorsement key certificate is signed by itself",
        "No TPM vendor's does; the unit is hostile, or its certificate was made for a test.",
    ),
    ErrorKind(
        "attestation.ek-untrusted",
        "the endorsement key certificate leads to no TPM vendor known to the station",
        "`birthmark-station tpm-vendors update` fetches what vendors publish. Is it not among that, take it from the "
        "TPM's vendor (a chip may give any address) and add it: `birthmark-station tpm-vendors add FILE`. It counts at "
        "once.",
        cases=_SIMULATOR,
    ),
    ErrorKind(
        "attestation.ek-weak-key",
        "the endorsement key is of a faulty library, and its private half can be computed (CVE-2017-15361)",
        "Update the TPM's firmware with the vendor's tool and have it make a new key, or use another TPM.",
    ),
    ErrorKind(
        "attestation.not-a-certify",
        "a statement of the TPM is not about a key",
        "The unit is faulty or hostile.",
    ),
    ErrorKind(
        "attestation.not-a-storage-key",
        "the key is not a storage key",
        "The unit is faulty or hostile; an honest agent sends a storage key.",
    ),
    ErrorKind(
        "attestation.public-malformed",
        "the public part of a TPM key cannot be read",
        "Update the agent; if it is current, the unit is faulty or hostile.",
    ),
    ErrorKind(
        "attestation.secret-wrong",
        "the unit did not return the secret that only its TPM can decrypt",
        "Its keys are not in the TPM whose certificate it sent; the unit is hostile.",
    ),
    ErrorKind(
        "attestation.signature-malformed",
        "a signature of the TPM cannot be read",
        "The unit is faulty or hostile.",
    ),
    ErrorKind(
        "attestation.srk-not-fixed",
        "the storage key could have been made outside this TPM, or could leave it",
        "The unit is faulty or hostile: table keys wrapped to it could be read.",
    ),
    ErrorKind(
        "attestation.srk-wrong-kind",
        "the storage key is not of the one kind that is accepted",
        "Update the agent; if it is current, the unit is hostile.",
    ),
    ErrorKind(
        "attestation.table-not-imported",
        "the TPM did not certify that it holds the table's key",
        "Plug the unit in again; if it stays so, it is hostile.",
    ),
    ErrorKind(
        "csr.asks-too-much",
        "the certificate request asks for extensions or attributes",
        "Only the station decides what a certificate contains; update the agent.",
    ),
    ErrorKind(
        "csr.bad-signature",
        "the certificate request is not signed by its own key",
        "The unit is faulty or hostile.",
    ),
    ErrorKind(
        "csr.malformed",
        "the certificate request cannot be read",
        "Update the agent; if it is current, the unit is faulty or hostile.",
    ),
    ErrorKind(
        "csr.other-key",
        "the certificate request is for another key than the one proven to be in the TPM",
        "The unit is hostile.",
    ),
    ErrorKind(
        "csr.subject-differs",
        "the certificate request has another subject than the unit",
        "Its subject must be the board serial and nothing more; update the agent.",
    ),
    ErrorKind(
        "csr.weak-key",
        "the certificate request is not for a P-256 key",
        "Update the agent; if it is current, the unit is hostile.",
    ),
    ErrorKind(
        "csr.weak-signature",
        "the certificate request is not signed with SHA-256",
        "Update the agent; if it is current, the unit is hostile.",
    ),
)
