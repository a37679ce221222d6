"""What lies in a TPM's NV is read whole, up to a bound; a command that is refused for now is sent again by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from tpm2_pytss import ESAPI, TSS2_Exception

from device_agent.tpm import Simulator
from device_agent.tpm.connection import Connection
from device_agent.tpm.nv import read_nv
from shared.errors import BirthmarkError
from tests.harness.chip_nv import UNREADABLE, write_nv

Result = TypeVar("Result")
INDEX = 0x01C00180
CONTENT = os.urandom(1300)


@pytest.fixture
def tpm(simulator: Simulator) -> Iterator[Connection]:
    tpm = Connection(simulator.tcti)
    yield tpm
    tpm.close()


@pytest.fixture(scope="module", autouse=True)
def content(simulator: Simulator) -> None:
    write_nv(simulator.tcti, {INDEX: CONTENT, INDEX + 1: b""})
    write_nv(simulator.tcti, {INDEX + 2: b"secret"}, UNREADABLE)


@pytest.mark.parametrize("most", [1, 512, 513, 1299, 1300, 9999])
def test_an_index_is_read_up_to_the_bound(tpm: Connection, most: int) -> None:
    assert read_nv(tpm.run, "read", INDEX, most) == CONTENT[:most]


def test_an_empty_index_is_empty_and_an_absent_one_is_none(tpm: Connection) -> None:
    assert read_nv(tpm.run, "read", INDEX + 1, 100) == b""
    assert read_nv(tpm.run, "read", INDEX + 3, 100) is None


def test_an_index_that_nobody_may_read_is_an_error(tpm: Connection) -> None:
    with pytest.raises(BirthmarkError, match="read the certificate"):
        read_nv(tpm.run, "read the certificate", INDEX + 2, 100)


def test_each_command_is_repeated_by_itself(tpm: Connection) -> None:
    """Together they would begin anew with each refusal, and a TPM that refuses often would never be read."""
    sent: list[str] = []

    def run(what: str, command: Callable[[ESAPI], Result]) -> Result:
        refusals = [0x920]

        def refused_once(esapi: ESAPI) -> Result:
            sent.append(what)
            if refusals:
                raise TSS2_Exception(refusals.pop())
            return command(esapi)

        return tpm.run(what, refused_once)

    assert read_nv(run, "read", INDEX, 9999) == CONTENT
    assert len(sent) == 2 * (1 + 1 + 3), "find it, ask for its size, read three parts"
