"""Real config.txt files: active lines are recognized, missing ones added, all other bytes stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.setup.config_txt import USB_DEVICE, with_overlays

TPM = "tpm-slb9670"
BOTH = (USB_DEVICE, TPM)
USB_LINES = ("dtoverlay=dwc2", "dtparam=dr_mode=peripheral")
TPM_LINE = "dtoverlay=tpm-slb9670"
ONE_LINE = b"dtoverlay=dwc2,dr_mode=peripheral"
"""What `rpi-usb-gadget` appends, and deletes wherever it stands."""
ADDED = (
    b"# For the Birthmark agent (birthmark-agent setup):\n[all]\n"
    b"dtoverlay=dwc2\ndtparam=dr_mode=peripheral\ndtoverlay=tpm-slb9670\n"
)
BOOKWORM = b"""# For more options and information see
# http://rptl.io/configtxt
dtparam=audio=on
camera_auto_detect=1
dtoverlay=vc4-kms-v3d
max_framebuffers=2
arm_64bit=1

[cm4]
# Enable host mode on the 2711 built-in XHCI USB controller.
otg_mode=1

[cm5]
dtoverlay=dwc2,dr_mode=host

[all]
"""


def test_a_default_config_txt_gets_both_lines_and_loses_what_undoes_them() -> None:
    edit = with_overlays(BOOKWORM, BOTH)
    assert edit.added == (*USB_LINES, TPM_LINE)
    assert edit.disabled == ("otg_mode=1 under [cm4]",)
    assert edit.outdone == ("dtoverlay=dwc2,dr_mode=host under [cm5]",)
    assert edit.content == BOOKWORM.replace(b"otg_mode=1", b"#otg_mode=1") + b"\n" + ADDED
    again = with_overlays(edit.content, BOTH)
    assert (again.changed, again.content) == (False, edit.content)


@pytest.mark.parametrize(
    ("before", "added", "after"),
    [
        (b"", (*USB_LINES, TPM_LINE), ADDED),
        (b"a=1", (*USB_LINES, TPM_LINE), b"a=1\n\n" + ADDED),
        (b"a=1\r\nb=2", (*USB_LINES, TPM_LINE), b"a=1\r\nb=2\r\n\r\n" + ADDED.replace(b"\n", b"\r\n")),
        (b"#dtoverlay=dwc2,dr_mode=peripheral\n", (*USB_LINES, TPM_LINE), None),
        (b"[pi4]\ndtoverlay=tpm-slb9670\n", (*USB_LINES, TPM_LINE), None),
        (b"[pi4]\n[all]\ndtoverlay=tpm-slb9670\n", USB_LINES, None),
        (b"[PI4]\n[ALL]\ndtoverlay=tpm-slb9670\n", USB_LINES, None),
        (b"[pi4]\n[gpio4=1]\ndtoverlay=tpm-slb9670\n", (*USB_LINES, TPM_LINE), None),
        (b"  dtoverlay = tpm-slb9670 \n", USB_LINES, None),
        (b"dtoverlay=dwc2:dr_mode=peripheral\ndtoverlay=tpm-slb9670\n", (), None),
        (b"dtoverlay=dwc2,g-tx=1,dr_mode=peripheral\ndtoverlay=tpm-slb9670\n", (), None),
        (b"dtoverlay=dwc2\ndtoverlay=tpm-slb9670\n", USB_LINES, None),
        (b"dtoverlay=dwc2\ndtparam=dr_mode=peripheral\ndtoverlay=tpm-slb9670\n", (), None),
        (b"dtoverlay=dwc2\ndtoverlay=tpm-slb9670\ndtparam=dr_mode=peripheral\n", USB_LINES, None),
        (b"dtoverlay=dwc2\ndtparam=audio=on,dr_mode=peripheral\ndtoverlay=tpm-slb9670\n", (), None),
        (b"dtoverlay=dwc2\ndtparam=dr_mode=peripheral\n[pi5]\ndtparam=audio=on\n[all]\n", (TPM_LINE,), None),
        (b"dtoverlay=dwc2\n[pi4]\ndtparam=dr_mode=peripheral\n", (*USB_LINES, TPM_LINE), None),
        (b"dtoverlay=dwc2\ndtparam=dr_mode=peripheral\n[pi5]\ndtparam=dr_mode=host\n", (*USB_LINES, TPM_LINE), None),
        (b"dtparam=dr_mode=peripheral\ndtoverlay=dwc2\n", (*USB_LINES, TPM_LINE), None),
        (ONE_LINE + b"\ndtparam=audio=on\n", (*USB_LINES, TPM_LINE), None),
        (b"\xff\x00\xfe\ndtoverlay=tpm-slb9670", USB_LINES, None),
    ],
)
def test_a_line_that_is_not_active_is_added(before: bytes, added: tuple[str, ...], after: bytes | None) -> None:
    edit = with_overlays(before, BOTH)
    assert edit.added == added
    assert edit.content.startswith(before)
    if after is not None:
        assert edit.content == after
    assert not with_overlays(edit.content, BOTH).changed


def test_a_line_that_a_later_one_undoes_is_moved_behind_it_and_not_doubled() -> None:
    edit = with_overlays(b"dtoverlay=dwc2,dr_mode=peripheral\n[pi5]\ndtoverlay=dwc2,dr_mode=host\n", (USB_DEVICE,))
    assert edit.added == USB_LINES
    assert edit.outdone == ("dtoverlay=dwc2,dr_mode=host under [pi5]",)
    assert edit.content.count(b"peripheral") == 1
    assert edit.content.index(b"dr_mode=host") < edit.content.index(b"dr_mode=peripheral")


def test_nothing_is_left_for_rpi_usb_gadget_to_delete() -> None:
    edit = with_overlays(b"[all]\n" + ONE_LINE + b"\n", BOTH)
    assert ONE_LINE not in edit.content
    assert edit.added == (*USB_LINES, TPM_LINE)
    switched_off = b"\n".join(line for line in edit.content.split(b"\n") if line != ONE_LINE)  # its `sed -i`
    assert not with_overlays(switched_off, BOTH).changed


def test_what_is_told_of_a_line_is_short_and_printable() -> None:
    edit = with_overlays(
        b"[\xff\x1b" + b"x" * 500 + b"]\ndtoverlay=dwc2,dr_mode=\xff\x1b[31m" + b"y" * 500, (USB_DEVICE,)
    )
    (told,) = edit.outdone
    assert len(told) < 140
    assert told.isprintable()


def test_host_mode_stays_where_the_usb_port_is_left_alone() -> None:
    edit = with_overlays(BOOKWORM, (TPM,))
    assert (edit.added, edit.disabled) == ((TPM_LINE,), ())
    assert b"\notg_mode=1\n" in edit.content


_PIECES = st.sampled_from(
    [
        *(b"[all]", b"[pi4]", b"[none]", b"#x", b"", b"otg_mode=1", b"dtoverlay=dwc2", b"dtoverlay=dwc2,dr_mode=host"),
        *(ONE_LINE, TPM_LINE.encode(), b"dtoverlay=", b"=", b"\xff", b"[", *(line.encode() for line in USB_LINES)),
        *(b"dtparam=dr_mode=host", b"dtparam=audio=on"),
    ]
)


@given(st.lists(_PIECES), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_config_txt_is_unchanged_by_a_second_run(pieces: list[bytes], newline: bytes, ended: bool) -> None:
    content = newline.join(pieces) + (newline if ended else b"")
    edit = with_overlays(content, BOTH)
    again = with_overlays(edit.content, BOTH)
    assert (again.changed, again.content) == (False, edit.content)
    kept = [line.strip() for line in edit.content.split(b"\n")]
    for piece in pieces:
        assert piece in kept or b"#" + piece in kept or piece == ONE_LINE
