"""What keeps a directory, by the kernel's own table of mounts: from a Pi, its overlay, an A/B image, a service."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from device_agent.storage.lasting import Keeper, check_lasting, kept
from shared.errors import BirthmarkError

STATE = Path("/var/lib/birthmark-agent")
CARD = "25 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n"
OVERLAY = "25 1 0:25 / / rw,relatime - overlay overlayroot rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay\n"
SLOTS = (
    "25 1 179:5 / / ro - ext4 /dev/root ro\n"
    "30 25 179:7 / /persistent rw - ext4 /dev/mmcblk0p7 rw\n"
    "31 25 179:7 /slots/system_a/var /var rw - ext4 /dev/mmcblk0p7 rw\n"
)
SHARED = "32 31 179:7 /shared/var/lib/birthmark-agent /var/lib/birthmark-agent rw - ext4 /dev/mmcblk0p7 rw\n"
DATA = "33 25 179:3 / /var/lib/birthmark-agent rw - ext4 /dev/mmcblk0p3 rw\n"


def mounts(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "by"),
    [
        (CARD, Keeper.DISK),
        (CARD + "26 25 0:30 / /var/lib rw - tmpfs tmpfs rw\n", Keeper.MEMORY),
        (CARD + "26 25 0:30 / /var/li rw - tmpfs tmpfs rw\n", Keeper.DISK),
        (OVERLAY, Keeper.MEMORY),
        (OVERLAY + DATA, Keeper.DISK),
        (SLOTS, Keeper.SLOT),
        (SLOTS + SHARED, Keeper.DISK),
        # As a service with ProtectSystem=strict sees them: its state directory is a mount of its own.
        (
            SLOTS + "40 25 179:7 /slots/system_b/var/lib/birthmark-agent /var/lib/birthmark-agent rw - ext4 x rw\n",
            Keeper.SLOT,
        ),
        (
            OVERLAY + "40 25 0:25 /var/lib/birthmark-agent /var/lib/birthmark-agent rw - overlay overlayroot rw\n",
            Keeper.MEMORY,
        ),
        (DATA + "34 25 0:9 / /var/lib/birthmark-agent rw - tmpfs tmpfs rw\n", Keeper.MEMORY),
        ("\n\x00 - \nx y z\n" + CARD, Keeper.DISK),
    ],
)
def test_the_mount_that_holds_the_directory_decides(tmp_path: Path, text: str, by: Keeper) -> None:
    found = kept(STATE, mounts(tmp_path, text))
    assert found is not None
    assert found.by is by


def test_a_place_with_a_space_is_found(tmp_path: Path) -> None:
    table = mounts(tmp_path, CARD + "26 25 0:30 / /my\\040data rw - tmpfs tmpfs rw\n")
    found = kept(Path("/my data/state"), table)
    assert found is not None
    assert (found.by, found.point) == (Keeper.MEMORY, "/my data")


def test_without_a_table_nothing_is_said_and_nothing_refused(tmp_path: Path) -> None:
    assert kept(STATE, tmp_path / "none") is None
    check_lasting(STATE, tmp_path / "none")


def test_memory_is_refused_with_its_place_and_a_disk_or_a_slot_is_not(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError) as caught:
        check_lasting(STATE, mounts(tmp_path, OVERLAY))
    assert caught.value.code == "identity.volatile"
    assert "overlay, mounted at /" in caught.value.detail
    for text in (CARD, SLOTS):
        check_lasting(STATE, mounts(tmp_path, text))


def test_this_machines_own_memory_is_recognized() -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", "/dev/shm"], capture_output=True, text=True, check=True).stdout
    if kind.strip() != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs here")
    found = kept(Path("/dev/shm/birthmark"))
    assert found is not None
    assert found.by is Keeper.MEMORY
