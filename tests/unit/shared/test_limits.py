"""What honest ends say and keep is within every limit, with the room that its reason names."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from shared import limits
from shared.protocol.framing import encode_frame
from shared.protocol.messages import Credentials, CredentialsBody, WrappedTable, encode
from shared.protocol.nuc_encryption import encrypt_nuc_hash
from shared.types import NucHash, TableKey
from station.attestation.tpm2.structures import read_public
from station.attestation.tpm2.wrapping import wrap_table_key
from tests.harness import soft_device as soft
from tests.harness.certificates import chain_of_trust

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BITS_PER_BYTE_ON_THE_LINE = 10  # with a start and a stop bit


def longest_signature() -> bytes:
    return encode_dss_signature(P256_ORDER - 1, P256_ORDER - 1)


@pytest.fixture(scope="module")
def chain() -> tuple[bytes, ...]:
    ours = chain_of_trust()
    return ours.chain(ours.device)


@pytest.fixture(scope="module")
def largest(chain: tuple[bytes, ...]) -> bytes:
    """Credentials with three tables wrapped for a storage key, the longest signature and the longest texts."""
    srk = read_public(soft.Key(soft.SRK, soft.AES_128, soft.NOTHING).public)
    keys = [wrap_table_key(srk, TableKey(b"k" * 32)) for _ in range(limits.TABLES_PER_UNIT)]
    body = CredentialsBody(
        chain=chain,
        tables=tuple(
            WrappedTable(table_id=limits.TABLE_COUNT_MAX - 1 - at, public=k.public, duplicate=k.duplicate, seed=k.seed)
            for at, k in enumerate(keys)
        ),
        authority_id="a" * limits.TEXT_CHARACTERS,
        validation_endpoint="u" * limits.TEXT_CHARACTERS,
    )
    return encode(Credentials(body=encode(body), signature=longest_signature()))


def test_the_largest_honest_message_fits_a_frame_many_times_over(largest: bytes) -> None:
    assert 1024 < len(largest) < 8 * 1024 < limits.FRAME_BYTES


def test_the_largest_honest_message_crosses_a_slow_line_in_a_steps_time(largest: bytes) -> None:
    seconds = len(encode_frame(largest)) * BITS_PER_BYTE_ON_THE_LINE / 9600
    assert seconds < limits.STEP_SECONDS


def test_our_chain_is_no_longer_than_a_chain_may_be(chain: tuple[bytes, ...]) -> None:
    assert len(chain) <= limits.CHAIN_CERTIFICATES
    assert max(map(len, chain)) * 2 < limits.CERTIFICATE_BYTES


def test_the_agents_proofs_fit_the_messages_fields() -> None:
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    sealed = encrypt_nuc_hash(
        NucHash(bytes(range(32))), point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), bytes(32)
    )
    assert len(sealed) == 65 + 32 + 16 <= limits.SEALED_BYTES
    assert len(longest_signature()) == 72 <= limits.SIGNATURE_BYTES
    assert len(soft.csr(soft.new_key())) * 2 < limits.CSR_BYTES


def test_a_serial_number_is_as_long_as_a_name_in_a_certificate_may_be() -> None:
    for kind in (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER):
        x509.NameAttribute(kind, "s" * limits.SERIAL_CHARACTERS)
    with pytest.raises(ValueError, match="64"):
        x509.NameAttribute(NameOID.COMMON_NAME, "s" * (limits.SERIAL_CHARACTERS + 1))


def test_the_map_of_a_12_megapixel_sensor_is_no_too_large_file() -> None:
    planes, bytes_each = 2, 2
    assert planes * bytes_each * 4056 * 3040 + 64 * 1024 < limits.NUC_MAP_BYTES


def test_each_wait_is_longer_than_what_goes_on_within_it() -> None:
    assert 2 * limits.HELLO_SECONDS < limits.GREETING_SECONDS < limits.STEP_SECONDS
    steps_of_the_unit = 3
    assert steps_of_the_unit * limits.STEP_SECONDS < limits.SESSION_SECONDS


def test_the_smallest_authority_has_tables_for_a_unit() -> None:
    assert limits.TABLES_PER_UNIT <= limits.TABLE_COUNT_MIN < limits.TABLE_COUNT_MAX
