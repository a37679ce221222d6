"""Types "Setting up" of docs/operator.md word for word at a terminal: from two packages to the first provisioned unit.

Station and Pi are one machine, so no file needs to be copied between them. The test also does what the guide says in
words: answers the questions, covers the sensor, plugs the Pi in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.system.conftest import Fill
from tests.system.console import Answer, Console
from tests.system.guest import Guest
from tests.system.image import SERIAL
from tests.system.newcomer import CONFIG_TXT, SENSOR_COVERED, arrive
from tests.system.page import ADDRESS, READ, open_page
from tests.system.words import words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

GUIDE: Final = Path(__file__).parents[2] / "docs" / "operator.md"
PASSPHRASE: Final = "a passphrase, long"
STATION: Final[dict[str, Answer]] = {
    r"Do you want to continue\? \[Y/n\]": "y",
    r"Name of this station \[\w+\]:": "bench 1",
    r"Organization:": "Example",
    r"every certificate names it\s+\(https://station\.example\.org\):": "https://station.example.org",
    r"from the vendors' own servers now\? \[Y/n\]:": "n",  # the virtual bench has no internet
    r"TPM vendors' certificates, a directory or a file[^\[]*\[\]:": "vendors",
    r"Where the root key goes[^\[]*\[\]:": "/media/safe",
    r"Passphrase for the root key, 12 characters or more:": PASSPHRASE,
    r"Repeat for confirmation:": PASSPHRASE,
}


@pytest.fixture(scope="module")
def fill() -> Fill:
    return arrive


@pytest.fixture
def console(pi: Guest) -> Iterator[Console]:
    with closing(Console(pi.connect("terminal"))) as console:
        yield console


def type_section(console: Console, heading: str, answers: dict[str, Answer], *, last: str = "") -> str:
    """Type all lines of a section except `last`, check what they print, and return the screen's text."""
    screen = ""
    for each in words(GUIDE, heading):
        lines = each.commands.splitlines()
        if left := [line for line in lines if line == last]:
            lines = lines[: -len(left)]
        shown = "".join(console.types(line, answers) for line in lines)
        assert each.fits(shown), f"{GUIDE.name}:{each.line} shows\n{shown}\nand not\n{each.seen}"
        screen += shown
    print(screen)
    return screen


def guide_says(heading: str, text: str) -> str:
    """Return `text` without its quotes or asterisks, and check that the section has it word for word."""
    section = GUIDE.read_text(encoding="utf-8").split(f"\n### {heading}\n", 1)[1].split("\n#", 1)[0]
    assert text in " ".join(section.split())
    return text.strip('*"')


def test_the_station_is_installed_and_set_up(pi: Guest) -> None:
    print(f"boot: {pi.start(usb_device=False, tpm=False):.0f} s")
    with closing(Console(pi.connect("terminal"))) as console:
        screen = type_section(console, "The station", STATION)
    assert PASSPHRASE not in screen
    assert re.findall(r"^The page: (\S+)$", screen, re.MULTILINE) == [ADDRESS]
    (link,) = re.findall(rf"{re.escape(ADDRESS)}open#\S+$", screen, re.MULTILINE)
    assert guide_says("The station", "**Open the page**") in pi.good(f"curl -sS --fail {link.partition('#')[0]}")
    open_page(pi, link)
    assert guide_says("The station", '"Nothing is plugged in."') in pi.good(READ, 300)
    assert pi.good("stat -c '%U %a' /media/safe/root-key.pem") == "root 600"


def test_the_pi_is_installed_set_up_and_captured(pi: Guest, console: Console) -> None:
    def cover() -> str:
        pi.good(f"touch {SENSOR_COVERED}")
        return ""

    restart = "sudo reboot"
    answers: dict[str, Answer] = {
        r"Do you want to continue\? \[Y/n\]": "y",
        r"Restart now\? \[y/N\]:": "n",
        r"Light the sensor [^.]*\. Then press any key\.": "",
        r"Now cover the sensor [^.]*\. Then press any key\.": cover,
    }
    type_section(console, "The Pi", answers, last=restart)
    lines = pi.good(f"sed -n '/^.all/,$p' {CONFIG_TXT}").splitlines()
    console.leaves(restart)
    pi.went_off()
    usb_device = "dtparam=dr_mode=peripheral" in lines[lines.index("dtoverlay=dwc2") :]
    tpm = "dtoverlay=tpm-slb9670" in lines
    print(f"boot: {pi.start(usb_device=usb_device, tpm=tpm):.0f} s")


def test_plugged_in_it_becomes_a_green_tile(pi: Guest, console: Console) -> None:
    done = guide_says("The first unit", "**Done**")
    # Not by its word, which stands among the six steps from the start.
    open_page(pi)
    pi.eventually(f"""{READ} | grep -q 'class="port done"'""", 600)
    page = pi.good(READ)
    card = page[page.index('<li class="port ') :].partition("</li>\n</ul>")[0]
    assert f"<span>{done}</span>" in card
    assert f'<h3 class="serial">{SERIAL}</h3>' in card
    unit = page[page.index('id="unit-rows"') :]
    assert SERIAL in unit
    assert f" {guide_says('The first unit', '**Genuine**')}</span>" in unit
    type_section(console, "The first unit", {})
