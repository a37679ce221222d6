"""`birthmark-agent gadget`, against a directory that keeps configfs's rules."""

from __future__ import annotations

import msgspec
from click.testing import CliRunner

from device_agent.board.gadget import GadgetStatus
from device_agent.cli.gadget import gadget as command
from shared.types import BoardSerial
from tests.harness.configfs import CONTROLLER, Kernel

SERIAL = BoardSerial("10000000abcdef01")


def test_the_command_starts_shows_and_stops_in_json(kernel: Kernel) -> None:
    kernel.add_controller()
    base = ["--configfs", str(kernel.configfs), "--controllers", str(kernel.controllers)]

    def run(*words: str) -> GadgetStatus:
        result = CliRunner().invoke(command, [*base, *words, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return msgspec.json.decode(result.output, type=GadgetStatus)

    assert run("status").bound_to is None
    assert run("start", "--serial", SERIAL).tty == "/dev/ttyGS0"
    assert run("status") == GadgetStatus((CONTROLLER,), CONTROLLER, SERIAL, "/dev/ttyGS0", "not attached", quiet=False)
    assert run("quiet").quiet
    assert run("stop").bound_to is None


def test_the_command_says_in_words_that_device_mode_is_off(kernel: Kernel) -> None:
    base = ["--configfs", str(kernel.configfs), "--controllers", str(kernel.controllers)]
    result = CliRunner().invoke(command, [*base, "status"], catch_exceptions=False)
    assert "birthmark-agent doctor" in result.output


def test_the_command_says_in_words_whether_the_gadget_is_up_and_for_whom(kernel: Kernel) -> None:
    kernel.add_controller()
    base = ["--configfs", str(kernel.configfs), "--controllers", str(kernel.controllers)]

    def run(*words: str) -> str:
        return CliRunner().invoke(command, [*base, *words], catch_exceptions=False).output

    assert run("status") == f"Down. {CONTROLLER} is there for it.\n"
    up = f"Up on {CONTROLLER} as {SERIAL}, port /dev/ttyGS0; host: not attached.\n"
    assert run("start", "--serial", SERIAL) == up
    assert run("status") == up
    assert run("quiet") == f"Quiet: {CONTROLLER} is held, and no host sees anything.\n"
