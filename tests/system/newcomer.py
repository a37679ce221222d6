"""A beginner's disk for the virtual Pi: nothing of Birthmark is installed, but its packages are downloaded."""

from __future__ import annotations

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import Final

from tests.system.image import ROOT, SERIAL, inside, packages, run

USER: Final = "pi"
HOME: Final = f"/home/{USER}"
CONFIG_TXT: Final = "/boot/firmware/config.txt"
SENSOR_COVERED: Final = "/run/sensor-covered"
"""While this file exists, the fake camera gets no light."""

LOGIN: Final = f"""[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin {USER} --noclear %I 115200 dumb
"""
"""`dumb`: programs print no colours and redraw no lines."""
SERIAL_SETTING: Final = f"[Service]\nEnvironment=BIRTHMARK_SERIAL={SERIAL}\n"
RASPBERRY_PI_CONFIG: Final = """# For more options and information see http://rptl.io/configtxt
dtparam=audio=on
camera_auto_detect=1
dtoverlay=vc4-kms-v3d

[cm4]
otg_mode=1

[all]
"""
PICAMERA2: Final = """Package: python3-picamera2
Version: 0.3.0
Architecture: all
Maintainer: Birthmark maintainers <maintainers@birthmark.invalid>
Depends: python3-numpy
Description: replaces the package of Raspberry Pi OS, which Debian lacks
"""


def arrive(root: Path, ek_roots: Path) -> None:
    """Make a user who may sudo, downloads in the user's home, and what matters here of Raspberry Pi OS.

    `ek_roots` holds the certificates of the TPM's vendor.
    """
    here = partial(inside, root)
    here("useradd", "--create-home", "--shell", "/bin/bash", USER)
    (root / "etc/sudoers.d/user").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    home = root / HOME[1:]
    for name in ("agent", "station"):
        shutil.copy(packages()[name], home)
    shutil.copytree(ek_roots, home / "vendors")
    (home / ".bash_profile").write_text("stty cols 200\n. ~/.bashrc\n")  # as wide as a window is
    here("chown", "-R", f"{USER}:{USER}", HOME)
    (root / "media/safe").mkdir()
    config = root / CONFIG_TXT[1:]
    config.parent.mkdir(parents=True)
    config.write_text(RASPBERRY_PI_CONFIG)
    for unit in ("birthmark-agent", "birthmark-gadget"):
        _drop_in(root, f"{unit}.service", SERIAL_SETTING)  # where the board has no device tree
    _drop_in(root, "serial-getty@ttyS2.service", LOGIN)
    here("systemctl", "enable", "serial-getty@ttyS2.service")
    _offer_picamera2(root)


def _offer_picamera2(root: Path) -> None:
    """Make a package archive with one package, and let apt use it in place of Debian's."""
    tree = root.parent / "picamera2"
    module = tree / "usr/lib/python3/dist-packages/picamera2.py"
    module.parent.mkdir(parents=True)
    stand_in = (ROOT / "tests/harness/picamera2_stand_in.py").read_text()
    module.write_text(
        f"{stand_in}\n\nimport os\n\nPicamera2.covered = property(lambda _: os.path.exists({SENSOR_COVERED!r}))\n"
    )
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(PICAMERA2)
    archive = root / "srv/archive"
    archive.mkdir()
    package = archive / "python3-picamera2_0.3.0_all.deb"
    run("dpkg-deb", "--root-owner-group", "-b", tree, package)
    content = package.read_bytes()
    (archive / "Packages").write_text(
        f"{PICAMERA2}Filename: ./{package.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
    )
    (root / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/archive ./\n")
    inside(root, "apt-get", "update")


def _drop_in(root: Path, unit: str, text: str) -> None:
    folder = root / "etc/systemd/system" / f"{unit}.d"
    folder.mkdir()
    (folder / "test.conf").write_text(text)
