"""The station accepts the keys that the TPM makes from our templates."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tpm2_pytss import TPM2B_PUBLIC
from tpm2_pytss.utils import NoSuchIndex, create_ek_template

from device_agent.tpm import templates
from station.attestation.ek.templates import TEMPLATES
from station.attestation.tpm2.structures import Alg, Attributes

BORN_HERE = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN
USUAL = BORN_HERE | Attributes.USER_WITH_AUTH | Attributes.NO_DA


def attributes(public: TPM2B_PUBLIC) -> Attributes:
    return Attributes(int(public.publicArea.objectAttributes))


@pytest.mark.parametrize(
    ("template", "more"),
    [
        (templates.attestation_key, Attributes.RESTRICTED | Attributes.SIGN),
        (templates.device_key, Attributes.SIGN),
        (templates.storage_key, Attributes.RESTRICTED | Attributes.DECRYPT),
    ],
)
def test_each_key_is_born_in_its_tpm_and_does_one_thing(template: Callable[[], TPM2B_PUBLIC], more: Attributes) -> None:
    assert attributes(template()) == USUAL | more


def test_sealed_data_neither_signs_nor_decrypts_nor_leaves() -> None:
    sealed = attributes(templates.sealed_data())
    assert sealed == Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.USER_WITH_AUTH | Attributes.NO_DA


def test_two_signing_keys_of_one_hierarchy_differ_by_their_label() -> None:
    labels = {
        bytes(template().publicArea.unique.ecc.x) for template in (templates.attestation_key, templates.device_key)
    }
    assert len(labels) == 2
    assert b"" not in labels


def test_a_template_is_made_anew_each_time() -> None:
    changed = templates.device_key()
    changed.publicArea.objectAttributes = 0
    assert attributes(templates.device_key()) == USUAL | Attributes.SIGN


@pytest.mark.parametrize("name", templates.EK_TEMPLATES)
def test_the_station_knows_each_endorsement_key_that_the_agent_may_choose(name: str) -> None:
    there = [b"a certificate"]

    def read_nv(index: int) -> bytes:
        """Return an NV index. The certificate's comes first; later ones may hold a nonce or another template."""
        if not there:
            raise NoSuchIndex(index)
        return there.pop()

    _, template = create_ek_template(name, read_nv)
    area = template.publicArea
    known = {(made.kind, made.name_alg, made.attributes, made.policy) for made in TEMPLATES}
    kind, name_alg = Alg(int(area.type)), Alg(int(area.nameAlg))
    assert (kind, name_alg, attributes(template), bytes(area.authPolicy)) in known
