"""Serves the authority's certificates and CRL to anybody."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Meta

from station.web import app_keys
from station.web.api.devices import DER, PEM_CHAIN
from station.web.http.negotiation import choose_media_type

CRL_DER: Final = "application/pkix-crl"
PEM: Final = "application/x-pem-file"


class CrlQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Annotated[
        Literal["der", "pem"] | None,
        Meta(
            description="Without it the Accept header decides; "
            "a client without a preference gets DER (RFC 5280, 4.2.1.13).",
        ),
    ] = None


class CaQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Annotated[
        Literal["pem", "der"],
        Meta(description="`pem`: all certificates, the root last. `der`: the one that `certificate` names."),
    ] = "pem"
    certificate: Literal["root", "intermediate"] = "root"


async def get_crl(request: web.Request, query: CrlQuery) -> web.Response:
    """Raises `registry.unavailable`."""
    der = await request.app[app_keys.SERVICES].revocation_list.current()
    kind = {"der": CRL_DER, "pem": PEM, None: choose_media_type(request, (CRL_DER, PEM))}[query.format]
    body = der if kind == CRL_DER else x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    return web.Response(body=body, content_type=kind, headers={"Vary": "Accept"})


async def get_ca(request: web.Request, query: CaQuery) -> web.Response:
    authority = request.app[app_keys.SERVICES].authority.certificates
    if query.format == "der":
        chosen = authority.root if query.certificate == "root" else authority.intermediate
        return web.Response(body=chosen.public_bytes(Encoding.DER), content_type=DER)
    every = (*authority.issuers, authority.root)
    return web.Response(body=b"".join(c.public_bytes(Encoding.PEM) for c in every), content_type=PEM_CHAIN)
