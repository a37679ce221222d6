"""Errors in the station: its data, authority, key tables, registry and page."""

from __future__ import annotations

from typing import Final

from shared.errors.kind import ErrorKind

KINDS: Final[tuple[ErrorKind, ...]] = (
    ErrorKind(
        "authority.extensions-malformed",
        "the certificate's Birthmark extensions are malformed",
        "It was not issued by this authority; provision the unit anew.",
    ),
    ErrorKind(
        "authority.issuer-silent",
        "whoever issues certificates does not answer",
        "Look whether it runs and can be reached from this station.",
        retry=True,
    ),
    ErrorKind(
        "authority.issuer-unknown",
        "none of this authority's intermediates has issued the certificate",
        "Put the intermediate that issued it into the data directory as authority/earlier-1.pem, or `birthmark-station "
        "release SERIAL` and provision the unit anew.",
    ),
    ErrorKind(
        "authority.station-refused",
        "the station was issued a certificate that it cannot use",
        "Look at the log of whoever issues certificates; the certificate in use stays in use.",
    ),
    ErrorKind(
        "authority.station-unknown",
        "no station's certificate in force has this serial number or name",
        "`birthmark-station station list` names them; an expired or revoked one needs no revocation.",
    ),
    ErrorKind(
        "authority.stations-too-many",
        "too many stations are revoked at once",
        "Each Hello carries the list of them. Revoke fewer, or replace the intermediate: then all of its stations end.",
    ),
    ErrorKind(
        "authority.unreadable",
        "the authority's certificates or keys cannot be used",
        "Restore the data directory from a backup.",
    ),
    ErrorKind("config.invalid", "a setting is not valid", "Correct it; `--help` and docs/operator.md name the limits."),
    ErrorKind(
        "config.passphrase-short",
        "the passphrase is too short",
        "Whoever gets what it protects can try without end: take some words that do not belong together. Of a file "
        "the first line is the passphrase.",
    ),
    ErrorKind(
        "data.exists",
        "there is something in that directory already",
        "Choose another directory, or add --force: the old one is then moved aside, not deleted.",
    ),
    ErrorKind(
        "data.in-use",
        "a station runs on that data directory already",
        "Its page shows what it does. Stop it before another is to run or the directory is to be replaced: "
        "sudo systemctl stop birthmark-station.socket birthmark-station.service.",
    ),
    ErrorKind(
        "data.incomplete",
        "the data directory is not whole",
        "Restore it from a backup; `birthmark-station init` makes a new one elsewhere.",
    ),
    ErrorKind(
        "data.missing",
        "there is no data directory",
        "`sudo birthmark-station setup` makes the service's, `birthmark-station init --data-dir DIR` one of your own.",
    ),
    ErrorKind(
        "data.no-station",
        "there is no station in that directory",
        "Name the directory that holds station.toml itself. `birthmark-station init --data-dir DIR` makes a station "
        "where there is nothing yet.",
    ),
    ErrorKind(
        "data.not-a-station",
        "the directory holds something else than a station, and is left unchanged",
        "Choose an empty directory, or one that does not exist yet.",
    ),
    ErrorKind(
        "data.not-served",
        "no station runs on that data directory",
        "Start it, with `sudo systemctl start birthmark-station` or `birthmark-station serve --data-dir DIR`, and run "
        "the command again.",
    ),
    ErrorKind(
        "data.readable-by-others",
        "the data directory or a file in it can be read by others",
        "Take the permissions away (chmod -R go-rwx DIR), and consider whether the keys in it are still secret.",
    ),
    ErrorKind(
        "data.root-key-unmoved",
        "the root key could not be moved",
        "It still lies in the data directory. Give --root-key-to another place: a directory, or a file that is not "
        "there yet, outside the data directory.",
    ),
    ErrorKind("data.unreadable", "the data directory cannot be read", "Run the command as the user who owns it."),
    ErrorKind("data.unwritable", "the directory cannot be written", "Check its owner and the space on its disk."),
    ErrorKind(
        "http.cannot-listen",
        "the page's address cannot be used",
        "Another program, perhaps another station, uses it; choose another with --port.",
    ),
    ErrorKind(
        "http.compressed",
        "the request's body is compressed",
        "Send it without Content-Encoding.",
    ),
    ErrorKind(
        "http.cross-site",
        "the request comes from a page of another site",
        "Send it from the station's own page, or from a program with a bearer token; a site whose scripts may call the "
        "station is listed in cors_origins.",
    ),
    ErrorKind(
        "http.field-invalid",
        "a field of the request is not what it must be",
        "The answer names the field and its limit; /docs describes every field.",
    ),
    ErrorKind(
        "http.host-unknown",
        "the request names a host that is not this station's",
        "Use the address that `birthmark-station serve` prints, or add the name that others know it by to hosts under "
        "[web] in station.toml.",
    ),
    ErrorKind(
        "http.in-the-clear",
        "a machine that is served without TLS gets nothing here that takes a token",
        "Ask by TLS or on the station itself, or through an SSH tunnel: ssh -L 8001:127.0.0.1:8001 STATION.",
    ),
    ErrorKind(
        "http.internal",
        "an unexpected error stopped the request",
        "Look into the station's log for the whole story, and report it.",
    ),
    ErrorKind("http.malformed", "the request is malformed", "Correct it; the answer says what is wrong where it can."),
    ErrorKind(
        "http.method-not-allowed",
        "this address does not allow this method",
        "The Allow header of the answer lists those it takes.",
    ),
    ErrorKind(
        "http.no-such-page",
        "there is nothing at that address",
        "The page is at /, the HTTP interface is described at /docs.",
    ),
    ErrorKind(
        "http.not-loopback",
        "a station is not served to other machines in the clear",
        "Give --tls-certificate and --tls-key, to the service as credentials (docs/operator.md), or --behind-proxy "
        "with its address when a proxy in front of it does TLS; for a private network of this machine's containers, "
        "list that under plain_http in station.toml; or use 127.0.0.1 and reach it through an SSH tunnel: "
        "ssh -L 8001:127.0.0.1:8001 STATION.",
    ),
    ErrorKind(
        "http.parameter-invalid",
        "a parameter in the address is not what it must be",
        "The answer names the parameter and its limit; /docs describes every parameter.",
    ),
    ErrorKind(
        "http.socket-open-to-all",
        "every program on this machine could pose as the proxy in front of the station",
        "Give the UNIX socket SocketMode=0660 and, as SocketGroup=, the proxy's group in a drop-in of "
        "birthmark-station.socket; docs/operator.md has one.",
    ),
    ErrorKind(
        "http.tls-unusable",
        "the TLS certificate or its key cannot be used",
        "Give PEM files that belong together, readable by the station's user, the key without a passphrase.",
    ),
    ErrorKind("http.too-large", "the request's body is too large", "Send less at a time."),
    ErrorKind(
        "http.too-many",
        "this client sends too many requests",
        "Wait as long as the Retry-After header says; the rates are set under [web.rates] in station.toml.",
        retry=True,
    ),
    ErrorKind(
        "http.too-many-listeners",
        "too many pages listen to this station at once",
        "Close some of them; a page that is not in front listens no longer.",
        retry=True,
    ),
    ErrorKind(
        "http.too-slow",
        "the request was not answered in time",
        "Send it again; if it stays so, the station's disk, registry or ports are overloaded; the ports come first.",
        retry=True,
    ),
    ErrorKind(
        "http.unsupported-media-type",
        "the body's content type is not one that this address takes",
        "Send JSON with the header Content-Type: application/json.",
    ),
    ErrorKind(
        "registry.already-revoked",
        "the unit is revoked already",
        "Nothing needs to be done; `birthmark-station device SERIAL` shows when and why it was.",
    ),
    ErrorKind(
        "registry.certificate-requested",
        "another session has just asked for this unit's certificate",
        "Plug it in again.",
        retry=True,
    ),
    ErrorKind(
        "registry.certificate-taken",
        "the registry has a certificate with this serial number",
        "No authority gives two certificates one number: find out which unit's is the other.",
    ),
    ErrorKind(
        "registry.cursor-invalid",
        "the cursor of the page is not one that was given out",
        "Begin again without a cursor.",
    ),
    ErrorKind(
        "registry.device-key-changed",
        "this unit's TPM now has another device key",
        "If its TPM was replaced or cleared on purpose, `birthmark-station release SERIAL` and plug it in again.",
    ),
    ErrorKind(
        "registry.device-key-taken",
        "the device key belongs to another unit",
        "No two TPMs make the same key: the unit is a copy. Keep it, and find the other.",
    ),
    ErrorKind(
        "registry.duplicate-nuc",
        "another unit has the same NUC hash",
        "Two sensors never have the same map: capture this unit's NUC map again on its own sensor.",
    ),
    ErrorKind(
        "registry.ek-taken",
        "this TPM belongs to a unit with another serial number",
        "If the TPM was moved to another board on purpose, `birthmark-station release SERIAL` the old unit first.",
    ),
    ErrorKind(
        "registry.inconsistent",
        "the registry holds what cannot be",
        "Run `birthmark-station audit verify`, and restore the registry from a backup if it was changed by hand.",
    ),
    ErrorKind(
        "registry.not-revoked",
        "the unit is not revoked",
        "Nothing needs to be done; `birthmark-station device SERIAL` shows its state.",
    ),
    ErrorKind(
        "registry.nuc-changed",
        "this unit comes back with another NUC hash",
        "If its sensor was replaced on purpose, `birthmark-station release SERIAL` and plug it in again.",
    ),
    ErrorKind(
        "registry.released-meanwhile",
        "the unit was released while it was being provisioned",
        "Plug it in again.",
        retry=True,
    ),
    ErrorKind(
        "registry.reservation-lost",
        "the place that was reserved for the unit has been given up or taken meanwhile",
        "Plug it in again.",
        retry=True,
    ),
    ErrorKind(
        "registry.revoked-for-good",
        "the unit was revoked for good, not put on hold",
        "`birthmark-station release SERIAL` and provision it anew: it then gets another certificate.",
    ),
    ErrorKind(
        "registry.serial-taken",
        "another unit has this serial number",
        "Two boards never share one: check --serial, or `birthmark-station release SERIAL` if the TPM was replaced.",
    ),
    ErrorKind("registry.too-new", "the registry was written by a newer version", "Update this station."),
    ErrorKind(
        "registry.unavailable",
        "the registry cannot be used at the moment",
        "Check the disk's space and that no backup holds it locked; nothing was lost, plug the unit in again.",
        retry=True,
    ),
    ErrorKind(
        "registry.unit-revoked",
        "the unit is revoked",
        "If it may be used again, `birthmark-station reinstate SERIAL`, or release it and provision it anew.",
    ),
    ErrorKind("registry.unknown-unit", "there is no such unit", "`birthmark-station devices` lists them."),
    ErrorKind(
        "setup.answer-missing",
        "there is no terminal to ask, and an answer is missing",
        "Give the named options; --yes skips the optional ones.",
    ),
    ErrorKind(
        "setup.package-missing",
        "there is no user birthmark-station, as whom the service runs",
        "Install the package birthmark-station, or make a station of your own with --data-dir DIR.",
    ),
    ErrorKind(
        "setup.service-failed",
        "the service does not start",
        "`journalctl -u birthmark-station` says why. Then run the same command again: it goes on where it ended.",
    ),
    ErrorKind("table.id-out-of-range", "there is no such key table", "Table ids go from 0 to 2,499."),
    ErrorKind("table.index-out-of-range", "there is no such key index", "Key indices go from 0 to 999."),
    ErrorKind(
        "table.master-key-malformed",
        "a master key is not 32 bytes",
        "The key tables are damaged; restore the data directory from a backup.",
    ),
    ErrorKind("table.not-ours", "this unit does not hold that key table", "`birthmark-agent status` names its three."),
    ErrorKind("table.unknown", "this authority has no such key table", "It has as many as were chosen at `init`."),
    ErrorKind(
        "table.unsealable",
        "a key table does not open under the station secret",
        "The secret is of another station or the registry is damaged; restore the data directory from a backup.",
    ),
    ErrorKind(
        "vendors.answer-unfit",
        "what lies at a TPM vendor's address is not its certificate",
        "Run the same command again later. If it stays so, take the certificate from the vendor's pages and add it: "
        "`birthmark-station tpm-vendors add FILE`.",
    ),
    ErrorKind(
        "vendors.none-readable",
        "it holds no certificate of a TPM vendor that can be used",
        "Give a file, PEM or DER, or a directory of them, with the certificates of the vendors' CAs.",
    ),
    ErrorKind(
        "vendors.pin-differs",
        "the certificate at a TPM vendor's address is another than the one we know",
        "It is not used. The vendor may have renewed it; a newer version of this program may know it. Where you are "
        "sure of it by other means, `birthmark-station tpm-vendors add FILE` takes it.",
    ),
    ErrorKind(
        "vendors.unknown",
        "the station has no such certificate of a TPM vendor",
        "`birthmark-station tpm-vendors list` lists them.",
    ),
    ErrorKind(
        "vendors.unreachable",
        "a TPM vendor's server does not answer",
        "Run the same command again when this machine reaches the internet (https_proxy names a proxy): it goes on "
        "where it ended. Or fetch elsewhere, and add the files: `birthmark-station tpm-vendors add DIR`.",
        retry=True,
    ),
)
