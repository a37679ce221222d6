"""Real config.txt files: active lines are recognized, missing ones added, all other bytes stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.setup.config_txt import USB_DEVICE, with_overlays

TPM = "tpm-slb9670"
BOTH = (USB_DEVICE, TPM)
USB_LINE, TPM_LINE = "dtoverlay=dwc2,dr_mode=peripheral", "dtoverlay=tpm-slb9670"
ADDED = (
    b"# For the Birthmark agent (birthmark-agent setup):\n[all]\n"
    b"dtoverlay=dwc2,dr_mode=peripheral\ndtoverlay=tpm-slb9670\n"
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
    assert edit.added == (USB_LINE, TPM_LINE)
    assert edit.disabled == ("otg_mode=1",)
    assert edit.content == BOOKWORM.replace(b"otg_mode=1", b"#otg_mode=1") + b"\n" + ADDED
    again = with_overlays(edit.content, BOTH)
    assert (again.changed, again.content) == (False, edit.content)


@pytest.mark.parametrize(
    ("before", "added", "after"),
    [
        (b"", (USB_LINE, TPM_LINE), ADDED),
        (b"a=1", (USB_LINE, TPM_LINE), b"a=1\n\n" + ADDED),
        (b"a=1\r\nb=2", (USB_LINE, TPM_LINE), b"a=1\r\nb=2\r\n\r\n" + ADDED.replace(b"\n", b"\r\n")),
        (b"#dtoverlay=dwc2,dr_mode=peripheral\n", (USB_LINE, TPM_LINE), None),
        (b"[pi4]\ndtoverlay=tpm-slb9670\n", (USB_LINE, TPM_LINE), None),
        (b"[pi4]\n[all]\ndtoverlay=tpm-slb9670\n", (USB_LINE,), None),
        (b"[PI4]\n[ALL]\ndtoverlay=tpm-slb9670\n", (USB_LINE,), None),
        (b"[pi4]\n[gpio4=1]\ndtoverlay=tpm-slb9670\n", (USB_LINE, TPM_LINE), None),
        (b"  dtoverlay = tpm-slb9670 \n", (USB_LINE,), None),
        (b"dtoverlay=dwc2:dr_mode=peripheral\ndtoverlay=tpm-slb9670\n", (), None),
        (b"dtoverlay=dwc2,g-tx=1,dr_mode=peripheral\ndtoverlay=tpm-slb9670\n", (), None),
        (b"dtoverlay=dwc2\ndtoverlay=tpm-slb9670\n", (USB_LINE,), None),
        (b"\xff\x00\xfe\ndtoverlay=tpm-slb9670", (USB_LINE,), None),
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
    assert edit.added == (USB_LINE,)
    assert edit.content.count(USB_LINE.encode()) == 1
    assert edit.content.index(b"dr_mode=host") < edit.content.index(b"dr_mode=peripheral")


def test_host_mode_stays_where_the_usb_port_is_left_alone() -> None:
    edit = with_overlays(BOOKWORM, (TPM,))
    assert (edit.added, edit.disabled) == ((TPM_LINE,), ())
    assert b"\notg_mode=1\n" in edit.content


_PIECES = st.sampled_from(
    [
        *(b"[all]", b"[pi4]", b"[none]", b"#x", b"", b"otg_mode=1", b"dtoverlay=dwc2", b"dtoverlay=dwc2,dr_mode=host"),
        *(USB_LINE.encode(), TPM_LINE.encode(), b"dtoverlay=", b"=", b"\xff", b"["),
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
        assert piece in kept or b"#" + piece in kept
