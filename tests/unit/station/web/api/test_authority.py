"""The revocation list and the authority's certificates, in the form the client asks for."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.harness.api_client import Api


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "*/*", "application/pkix-crl"),
        ("", "application/x-pem-file", "application/x-pem-file"),
        ("?format=pem", "*/*", "application/x-pem-file"),
        ("?format=der", "application/x-pem-file", "application/pkix-crl"),
    ],
)
async def test_the_list_comes_as_der_or_pem(api: Api, query: str, accept: str, kind: str) -> None:
    answer = await api.client.get(f"/crl{query}", headers={"Accept": accept})
    assert answer.content_type == kind
    load = x509.load_pem_x509_crl if kind.endswith("pem-file") else x509.load_der_x509_crl
    assert load(await answer.read()).issuer == api.testbed.station.authority.certificates.intermediate.subject


async def test_the_authoritys_certificates_come_as_pem_and_one_as_der(api: Api) -> None:
    certificates = api.testbed.station.authority.certificates
    pem = await (await api.client.get("/ca")).read()
    assert x509.load_pem_x509_certificates(pem) == [certificates.intermediate, certificates.root]
    for name in ("root", "intermediate"):
        der = await (await api.client.get(f"/ca?format=der&certificate={name}")).read()
        assert x509.load_der_x509_certificate(der) == getattr(certificates, name)
