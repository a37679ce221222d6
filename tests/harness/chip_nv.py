"""Writes what a TPM vendor leaves in a chip's NV, as the vendor does in its factory: with the platform's authority."""

from __future__ import annotations

import os
from collections.abc import Mapping

os.environ.setdefault("TSS2_LOG", "all+none")

from tpm2_pytss import ESAPI, ESYS_TR, TPM2_ALG, TPM2B_NV_PUBLIC, TPMA_NV, TPMS_NV_PUBLIC, TSS2_Exception

_WRITABLE = TPMA_NV.PLATFORMCREATE | TPMA_NV.PPWRITE | TPMA_NV.PPREAD | TPMA_NV.NO_DA
READABLE = _WRITABLE | TPMA_NV.AUTHREAD | TPMA_NV.OWNERREAD
UNREADABLE = _WRITABLE


def write_nv(tcti: str, content: Mapping[int, bytes], attributes: int = READABLE) -> None:
    """Write each index of `content`; another one of that number goes."""
    with ESAPI(tcti) as esapi:
        for index, octets in content.items():
            remove_nv(esapi, index)
            public = TPMS_NV_PUBLIC(
                nvIndex=index, nameAlg=TPM2_ALG.SHA256, attributes=TPMA_NV(attributes), dataSize=len(octets)
            )
            handle = esapi.nv_define_space(None, TPM2B_NV_PUBLIC(nvPublic=public), auth_handle=ESYS_TR.PLATFORM)
            for at in range(0, len(octets), 512):
                esapi.nv_write(handle, octets[at : at + 512], at, auth_handle=ESYS_TR.PLATFORM)


def remove_nv(esapi: ESAPI, index: int) -> None:
    try:
        handle = esapi.tr_from_tpmpublic(index)
    except TSS2_Exception:  # there is none
        return
    esapi.nv_undefine_space(handle, auth_handle=ESYS_TR.PLATFORM)
