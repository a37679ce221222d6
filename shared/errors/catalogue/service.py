"""Errors of the authority's service: access, audit, backup, provisioning without a cable, import."""

from __future__ import annotations

from typing import Final

from shared.errors.kind import ErrorKind

KINDS: Final[tuple[ErrorKind, ...]] = (
    ErrorKind(
        "access.denied",
        "the bearer token is unknown, expired or revoked",
        "`birthmark-station tokens list` shows the tokens; make another with `birthmark-station tokens create`.",
    ),
    ErrorKind(
        "access.link-invalid",
        "the link is wrong, was used already, or is older than two minutes",
        "Each link opens the page once. Print another at the station with `sudo birthmark-station open`; for a station "
        "of your own, `birthmark-station open --data-dir DIR`.",
    ),
    ErrorKind(
        "access.page-key-missing",
        "the session's cookie alone makes no change",
        "Sign in at /login in this browser with a token that allows the change, JavaScript switched on, and make it "
        "there; a program sends a bearer token.",
    ),
    ErrorKind(
        "access.required",
        "this needs a bearer token or a signed-in operator",
        "Make a token with `birthmark-station tokens create NAME --scope read`, and send it as Authorization: Bearer, "
        "or sign in with it at /login.",
    ),
    ErrorKind(
        "access.scope-missing",
        "the bearer token does not allow this",
        "Use a token with the scope that the documentation names, made with `birthmark-station tokens create`.",
    ),
    ErrorKind(
        "access.token-exists",
        "there is a token of that name",
        "Choose another name, or revoke the old one first with `birthmark-station tokens revoke NAME`.",
    ),
    ErrorKind("access.token-unknown", "there is no such token", "`birthmark-station tokens list` shows the tokens."),
    ErrorKind(
        "audit.broken",
        "the audit log is not whole",
        "Somebody or something changed the registry behind the station's back: keep a copy of it as evidence, find out "
        "who could write it, and compare it with the last backup.",
    ),
    ErrorKind(
        "audit.headless",
        "the record of where the audit log ends is missing",
        "The registry is damaged: `birthmark-station audit verify` says more; restore it from a backup.",
    ),
    ErrorKind(
        "backup.damaged",
        "the backup was changed, or is damaged",
        "Nothing was restored. Use another copy of it.",
    ),
    ErrorKind(
        "backup.exists", "there is a file of that name already", "Choose another name: no backup is overwritten."
    ),
    ErrorKind(
        "backup.file-unusable",
        "the backup cannot be read or written",
        "Check the path, its owner and the space on its disk.",
    ),
    ErrorKind(
        "backup.identity-unusable",
        "the identity file has no key that can be used",
        "Give the file that `age-keygen` wrote, or an Ed25519 or RSA private key of SSH that is not encrypted.",
    ),
    ErrorKind(
        "backup.malformed",
        "the file is not a backup of a station",
        "Nothing was restored. Give a complete file that `birthmark-station backup` made.",
    ),
    ErrorKind(
        "backup.not-opened",
        "the backup does not open: passphrase or identity is another's, or the file is damaged",
        "Nothing was restored. Check which passphrase or key it was made for; if it is right, use another copy of the "
        "file.",
    ),
    ErrorKind(
        "backup.recipient-unusable",
        "the recipient is no public key that can be used",
        "Give `age1…` as `age-keygen` prints it, or a line `ssh-ed25519 …` or `ssh-rsa …`.",
    ),
    ErrorKind(
        "backup.too-large",
        "the backup is too large for a passphrase",
        "Make it for a public key, with `--recipient`: such a backup may have any size.",
    ),
    ErrorKind("backup.too-new", "the backup was made by a newer version", "Update this station's software first."),
    ErrorKind(
        "export.exists",
        "something is there already where the export should go",
        "Nothing was exported, and nothing replaced. Name a directory that is not there yet.",
    ),
    ErrorKind(
        "export.unwritable",
        "the export cannot be written",
        "Nothing is left of it. Check the directory that it should lie in: its owner, and the room on its disk.",
    ),
    ErrorKind(
        "import.devices-unusable",
        "some devices cannot be taken over",
        "Nothing was imported. Correct them in a copy of the directory, or import the others: `--leave-out SERIAL` for "
        "each, or `--skip-unusable` for all of them.",
    ),
    ErrorKind(
        "import.inconsistent",
        "the data to import contradicts itself",
        "Nothing was imported. Correct what is named in a copy of the directory, and import that.",
    ),
    ErrorKind(
        "import.no-such-device",
        "a device that is to be left out is not in device_registry.json",
        "Nothing was imported. Write its serial number as that file does.",
    ),
    ErrorKind(
        "import.unreadable",
        "the data to import cannot be read",
        "Nothing was imported. Give the `data` directory of the public SMA, with device_registry.json, key_tables.json "
        "and the files of its authority.",
    ),
    ErrorKind(
        "provisioning.csr-key-unsupported",
        "the certificate request is not for a P-256 key",
        "Make one: openssl ecparam -genkey -name prime256v1.",
    ),
    ErrorKind(
        "provisioning.csr-malformed",
        "the certificate request cannot be read, or its signature is not its key's",
        "Send a PKCS#10 request, PEM or base64 of DER, as `openssl req -new` makes it.",
    ),
    ErrorKind(
        "provisioning.csr-subject-differs",
        "the certificate request names another unit",
        "Its common name must be the unit's serial number, or `Birthmark Device` and that, or missing.",
    ),
    ErrorKind(
        "provisioning.family-invalid",
        "the device family is not 1 to 64 printable characters",
        "Give a short name such as Raspberry Pi.",
    ),
    ErrorKind(
        "provisioning.file-unusable",
        "the file of units, or the place for their files, cannot be used",
        "See `birthmark-station provision --help` for the columns.",
    ),
    ErrorKind(
        "provisioning.nuc-hash-invalid",
        "the NUC hash is not 64 hexadecimal digits, or all zeros",
        "It is the SHA-256 of the NUC map, in hexadecimal; without it the station makes one.",
    ),
    ErrorKind(
        "provisioning.phase-two-refused",
        "this station does not provision in the second form, in which keys and a device secret cross in the clear",
        "Plug the unit in, or send its certificate request as csr to /api/v1/devices/provision, without device_secret: "
        "then its private key stays where it is.",
    ),
    ErrorKind(
        "provisioning.station-keys-off",
        "this station makes no private keys for others",
        "Send a certificate request, or set station_made_keys = true under [provisioning] in station.toml.",
    ),
)
