"""Every endpoint of the HTTP interface, as data. The router and the OpenAPI document are made from this list."""

from __future__ import annotations

from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from station.registry.tokens import Scope
from station.web.api import authority, devices, document, provision, public_authority, stats, validate
from station.web.endpoint import JSON, Answer, Endpoint
from station.web.enforcement import NDJSON
from station.web.ops import health, metrics_page
from station.web.pages import overview

_PROVISIONING: Final = (
    "provisioning.csr-key-unsupported",
    "provisioning.csr-malformed",
    "provisioning.csr-subject-differs",
    "provisioning.family-invalid",
    "provisioning.nuc-hash-invalid",
    "provisioning.phase-two-refused",
    "provisioning.station-keys-off",
    "identity.serial-invalid",
    "registry.device-key-taken",
    "registry.duplicate-nuc",
    "registry.serial-taken",
)
_VALIDATION_TEXT: Final = (
    "Decrypts the token under the key of its table and index. It is valid when it holds the NUC hash of a provisioned "
    "unit that has this table and is not revoked. Of a legacy token, which names three pairs of table and index, all "
    "three are tried. A FAIL has status 200, gives no reason and reads as much as a PASS; so has JSON without a token."
)
_EXAMPLE: Final = (
    '{"camera_token": {"ciphertext": "b6cf15a3945b37df4168c978f14958952f5c9012c2c40877a374ebeda42fd523", '
    '"auth_tag": "5d57c67471ff18399dd9da205dfd31d3", "nonce": "000102030405060708090a0b", "table_id": 0, '
    '"key_index": 0}, "manufacturer_authority_id": "CANON_001"}'
)
_VALIDATION: Final = (Answer(200, "PASS or FAIL.", {JSON: validate.Validation}),)
_DEVICE: Final = (Answer(200, "The unit as it is now.", {JSON: devices.Device}),)
_BLACKLISTING: Final = (Answer(200, "The unit as it is now.", {JSON: public_authority.Blacklisting}),)
_JSON_HEADER: Final = "-H 'Content-Type: application/json'"
_BEARER: Final = '-H "Authorization: Bearer $TOKEN"'


def _token(path: str) -> Endpoint:
    return Endpoint(
        "POST",
        path,
        validate.validate_token,
        "validation",
        "Validate a NUC token",
        _VALIDATION,
        text=_VALIDATION_TEXT,
        rate="validation",
        on_bad_body=validate.count_bad_token,
        unfit=validate.UNFIT,
        curl=f"{_JSON_HEADER} -d '{_EXAMPLE}'",
    )


def _bundle(path: str) -> Endpoint:
    return Endpoint(
        "POST",
        path,
        validate.validate_certificate,
        "validation",
        "Validate what a camera signed with its certificate",
        _VALIDATION,
        text="The signature covers four lines, each ended by a newline: the image hash in lower case, camera_cert as "
        "it was sent, the timestamp, and the GPS hash in lower case or nothing. Without a GPS hash it may also cover "
        "the image hash in lower case followed by the timestamp. JSON that holds no bundle is a FAIL.",
        rate="validation",
        body_bytes=validate.BUNDLE_BYTES,
        on_bad_body=validate.count_bad_certificate,
        unfit=validate.UNFIT,
        curl=f'{_JSON_HEADER} -d \'{{"camera_cert": "bm8gY2VydGlmaWNhdGU=", "image_hash": "{"ab" * 32}", '
        f'"timestamp": 1795500000, "gps_hash": null, "bundle_signature": "bm8gc2lnbmF0dXJl"}}\'',
    )


ENDPOINTS: Final = (
    _token("/validate"),
    _token("/validate-legacy"),
    _token("/api/v1/validate/nuc"),
    _bundle("/validate-cert"),
    _bundle("/validate-cert-legacy"),
    Endpoint(
        "POST",
        "/api/v1/devices/provision",
        provision.provision_one,
        "provisioning",
        "Provision a unit",
        (Answer(201, "What the unit gets; it is returned only once.", {JSON: provision.Provisioning}, ("Location",)),),
        _PROVISIONING,
        "With a certificate request the unit has its own key. Without one the station makes the key pair, returns it "
        "once with the master keys of the unit's tables, and stores neither; station_made_keys = false turns that off.",
        rate="changing",
        scope=Scope.PROVISION,
        curl=f'{_BEARER} {_JSON_HEADER} -d \'{{"device_serial": "camera-0001"}}\'',
    ),
    Endpoint(
        "POST",
        "/api/v1/devices/provision/bulk",
        provision.provision_many,
        "provisioning",
        "Provision many units, each independently of the others",
        (Answer(200, "A line of JSON for each unit, in order.", {NDJSON: provision.BulkResult}),),
        text="Sends each result as soon as it is there. "
        "When the client hangs up, its remaining units are not provisioned.",
        rate="changing",
        scope=Scope.PROVISION,
        body_bytes=provision.BULK_BYTES,
        curl=f"{_BEARER} {_JSON_HEADER} "
        '-d \'{"devices": [{"device_serial": "camera-0002"}, {"device_serial": "camera-0003"}]}\'',
    ),
    Endpoint(
        "POST",
        "/api/v1/devices/provision-phase2",
        provision.refuse_phase2,
        "provisioning",
        "Refused: keys would cross in the clear",
        (),
        ("provisioning.phase-two-refused",),
        "In this form the public SMA makes private key and token keys and sends them. Send a certificate request to "
        "/api/v1/devices/provision instead.",
        rate="changing",
        curl=f'{_JSON_HEADER} -d \'{{"device_serial": "camera-0001"}}\'',
    ),
    Endpoint(
        "GET",
        "/api/v1/devices",
        devices.list_devices,
        "units",
        "List units, the latest first",
        (Answer(200, "A page of units.", {JSON: devices.Devices}),),
        ("registry.cursor-invalid",),
        rate="reading",
        scope=Scope.READ,
        curl=_BEARER,
    ),
    Endpoint(
        "GET",
        "/api/v1/devices/{serial}",
        devices.get_device,
        "units",
        "One unit",
        (Answer(200, "The unit; of several released ones, the latest.", {JSON: devices.Device}),),
        ("registry.unknown-unit",),
        rate="reading",
        scope=Scope.READ,
        curl=_BEARER,
    ),
    Endpoint(
        "GET",
        "/api/v1/devices/{serial}/certificate",
        devices.get_certificate,
        "units",
        "A unit's certificate",
        (Answer(200, "The certificate.", {devices.PEM_CHAIN: None, devices.DER: None}),),
        ("registry.unknown-unit",),
        rate="reading",
        scope=Scope.READ,
        curl=_BEARER,
    ),
    Endpoint(
        "POST",
        "/api/v1/devices/{serial}/revoke",
        devices.revoke,
        "units",
        "Revoke a unit",
        _DEVICE,
        ("registry.unknown-unit", "registry.already-revoked"),
        "From the answer on, the unit fails validation and is on the revocation list. With the default code it is on "
        "hold and can be reinstated; with another code it is revoked for good.",
        rate="changing",
        scope=Scope.ADMIN,
        curl=f'{_BEARER} {_JSON_HEADER} -d \'{{"reason": "reported stolen"}}\'',
    ),
    Endpoint(
        "POST",
        "/api/v1/devices/{serial}/reinstate",
        devices.reinstate,
        "units",
        "Take back a revocation on hold",
        _DEVICE,
        ("registry.unknown-unit", "registry.not-revoked", "registry.revoked-for-good"),
        rate="changing",
        scope=Scope.ADMIN,
        curl=f'{_BEARER} {_JSON_HEADER} -d \'{{"reason": "found again"}}\'',
    ),
    Endpoint(
        "GET",
        "/api/devices/{serial}/status",
        public_authority.get_status,
        "public authority",
        "One unit, as the public authority tells it",
        (Answer(200, "The unit; of several released ones, the latest.", {JSON: public_authority.DeviceStatus}),),
        ("registry.unknown-unit",),
        rate="reading",
        scope=Scope.READ,
        curl=_BEARER,
    ),
    Endpoint(
        "GET",
        "/api/admin/blacklist",
        public_authority.get_blacklist,
        "public authority",
        "Revoked units, the latest first",
        (Answer(200, "A page of units.", {JSON: public_authority.Blacklist}),),
        ("registry.cursor-invalid",),
        rate="reading",
        scope=Scope.READ,
        curl=_BEARER,
    ),
    Endpoint(
        "POST",
        "/api/admin/blacklist/{serial}",
        public_authority.blacklist,
        "public authority",
        "Revoke a unit on hold",
        _BLACKLISTING,
        ("registry.unknown-unit",),
        "The same as to revoke it with the code certificateHold; a unit that is revoked stays as it is.",
        rate="changing",
        scope=Scope.ADMIN,
        curl=f"-X POST {_BEARER}",
    ),
    Endpoint(
        "DELETE",
        "/api/admin/blacklist/{serial}",
        public_authority.unblacklist,
        "public authority",
        "Take back a revocation on hold",
        _BLACKLISTING,
        ("registry.unknown-unit", "registry.revoked-for-good"),
        "The same as to reinstate it; a unit that is not revoked stays as it is.",
        rate="changing",
        scope=Scope.ADMIN,
        curl=f"-X DELETE {_BEARER}",
    ),
    Endpoint(
        "GET",
        "/crl",
        authority.get_crl,
        "authority",
        "The certificate revocation list",
        (
            Answer(
                200,
                "The current list (RFC 5280), with every revocation before the request.",
                {authority.CRL_DER: None, authority.PEM: None},
            ),
        ),
    ),
    Endpoint(
        "GET",
        "/ca",
        authority.get_ca,
        "authority",
        "The authority's certificates",
        (Answer(200, "The certificates.", {devices.PEM_CHAIN: None, devices.DER: None}),),
    ),
    Endpoint(
        "GET",
        "/stats",
        stats.stats,
        "station",
        "Totals, units by family and state, use of the key tables, provisioning times",
        (Answer(200, "The counts of the registry.", {JSON: stats.Stats}),),
        rate="reading",
        scope=Scope.READ,
        curl=_BEARER,
    ),
    Endpoint(
        "GET",
        "/health",
        health.health,
        "station",
        "Whether the station runs, with counts",
        (Answer(200, "It runs.", {JSON: health.Health}),),
    ),
    Endpoint(
        "GET",
        "/ready",
        health.ready,
        "station",
        "Whether the station can do its work",
        (Answer(200, "It can.", {JSON: health.Ready}), Answer(503, "It cannot.", {JSON: health.Ready})),
    ),
    Endpoint(
        "GET",
        "/metrics",
        metrics_page.metrics_page,
        "station",
        "Metrics for Prometheus",
        (Answer(200, "Text exposition.", {CONTENT_TYPE_LATEST.partition(";")[0]: None}),),
        text="They tell why validations failed, which nobody may learn who only validates.",
        rate="reading",
        scope=Scope.READ,
        curl=_BEARER,
    ),
    Endpoint(
        "GET",
        "/",
        overview.root,
        "station",
        "Service, version and status; the operator's page for browsers",
        (
            Answer(200, "What was asked for.", {JSON: overview.ServiceInfo, "text/html": None}),
            Answer(303, "To the page for signing in, when the page is not open.", headers=("Location",)),
        ),
        ("registry.cursor-invalid",),
        rate="page",
        scope=Scope.READ,
        open_when=overview.needs_no_token,
        sign_in=True,
        curl="-H 'Accept: application/json'",
    ),
    Endpoint(
        "GET",
        "/openapi.json",
        document.openapi,
        "station",
        "This description, as OpenAPI 3.1",
        (Answer(200, "The document.", {JSON: None}),),
    ),
    Endpoint(
        "GET",
        "/docs",
        document.docs,
        "station",
        "This description, for people",
        (Answer(200, "A page.", {"text/html": None}),),
    ),
)
