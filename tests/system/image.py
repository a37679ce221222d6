"""The virtual Pi's disk: Debian, cached between runs, and what is put on it: here both packages and a station."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from scripts import packages as building
from scripts.chroot import System, bootstrap

ROOT: Final = building.ROOT
CACHE: Final = ROOT / ".cache/system"
SERIAL: Final = "10000000abcdef01"
SENSOR: Final = "7"
PUBLIC_URL: Final = "https://sma.example.org"
NUC_MAP: Final = "/var/lib/birthmark-agent/nuc.map"
SPARE_NUC_MAP: Final = "/root/nuc.map"

USB_DEVICE_MODULE: Final = "dummy_hcd"
"""Stands for the dwc2 of a Pi."""

SUITE: Final = "bookworm"
_EVERYWHERE: Final = (
    "bash,curl,init,kmod,udev,initramfs-tools,python3,debconf,tpm-udev,procps,"
    "libtss2-esys-3.0.2-0,libtss2-fapi1,libtss2-mu0,libtss2-rc0,libtss2-tctildr0,libtss2-tcti-device0"
)
MASKED: Final = (
    "serial-getty@ttyS0.service",
    "getty@tty1.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
)
_SERIAL_SHELL: Final = """[Unit]
Description=The test's shell
DefaultDependencies=no
After=systemd-remount-fs.service
[Service]
Environment=HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
ExecStartPre=/bin/stty -F /dev/ttyS1 -echo -onlcr
ExecStart=/bin/bash --norc --noprofile
StandardInput=tty
StandardOutput=tty
StandardError=journal
TTYPath=/dev/ttyS1
Restart=always
KillSignal=SIGKILL
[Install]
WantedBy=sysinit.target
"""


_PORT_SHELL: Final = """[Unit]
Description=The test's shell
DefaultDependencies=no
After=systemd-remount-fs.service
[Service]
Environment=HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
ExecStartPre=/bin/sh -c 'modprobe virtio_console; until test -c /dev/virtio-ports/shell; do sleep 0.2; done'
ExecStart=/bin/sh -c 'exec /bin/bash --norc --noprofile <>/dev/virtio-ports/shell 1>&0 2>&0'
Restart=always
KillSignal=SIGKILL
[Install]
WantedBy=sysinit.target
"""
"""A virtio port can be opened once only, so both ways at once."""

_SMALL_INITRD: Final = r"""
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/initramfs-tools/hooks"
printf 'MODULES=list\nCOMPRESS=gzip\n' >"$1/etc/initramfs-tools/conf.d/small"
cat >"$1/etc/initramfs-tools/hooks/small" <<'END'
#!/bin/sh
[ "$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
for module in virtio_pci virtio_blk ext4; do force_load $module; done
END
chmod 755 "$1/etc/initramfs-tools/hooks/small"
"""
"""Packing all modules takes minutes where each program is emulated."""


@dataclass(frozen=True, slots=True)
class Debian:
    """What is on the disk before our packages are, and how the test gets a shell there."""

    architecture: str
    packages: str
    shell: str
    disabled: tuple[str, ...] = ()
    """Services that a test starts itself."""
    hook: str = ""
    """What mmdebstrap does before it installs the packages."""


AMD64: Final = Debian(
    "amd64",
    f"{_EVERYWHERE},linux-image-amd64,python3-numpy,iproute2,nginx,openssl,sudo",
    _SERIAL_SHELL,
    disabled=("nginx.service",),
)
ARM64: Final = Debian("arm64", f"{_EVERYWHERE},linux-image-arm64", _PORT_SHELL, hook=_SMALL_INITRD)


@dataclass(frozen=True, slots=True)
class Image:
    """The files that QEMU boots."""

    disk: Path
    kernel: Path
    initrd: Path


def run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}"


def base(debian: Debian) -> Path:
    """Make Debian alone, as a tar file; only again when its ingredients change."""
    digest = hashlib.sha256(f"{SUITE} {debian}".encode()).hexdigest()[:12]
    tar = CACHE / f"base-{digest}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        made = tar.with_suffix(".part")
        hook = [f"--essential-hook={debian.hook}"] if debian.hook else []
        bootstrap(
            System(SUITE, debian.architecture), debian.packages.split(","), made,
            "--variant=minbase", "--format=tar", "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*", *hook,
        )  # fmt: skip
        made.rename(tar)
    return tar


@cache
def packages() -> dict[str, Path]:
    """Build both packages from this tree."""
    return built("amd64")


def built(architecture: str, distribution: str = SUITE) -> dict[str, Path]:
    """Build both packages from this tree: `agent` and `station`."""
    made = building.build(distribution, architecture)
    return {path.name.removeprefix("birthmark-").split("_")[0]: path for path in made}


def inside(root: Path, *command: str) -> None:
    """Run a command in the disk's file system."""
    run("chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *command)


def build(work: Path, debian: Debian, fill: Callable[[Path], None]) -> Image:
    """Make a fresh disk in `work`. `fill` gets its root directory, and adds to Debian what the tests need."""
    root = work / "root"
    root.mkdir()
    run("tar", "xf", base(debian), "-C", root, "--exclude=./dev/*")
    for node, minor in (("null", "3"), ("urandom", "9")):
        run("mknod", "-m", "666", root / "dev" / node, "c", "1", minor)
    fill(root)

    for unit in MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    (root / "etc/systemd/system/test-shell.service").write_text(debian.shell)
    inside(root, "systemctl", "enable", "test-shell.service")
    for unit in debian.disabled:
        inside(root, "systemctl", "disable", unit)
    manager = root / "etc/systemd/system.conf.d/emulated.conf"  # a busy host takes minutes for a start
    manager.parent.mkdir(exist_ok=True)
    manager.write_text("[Manager]\nDefaultTimeoutStartSec=600\n")
    (root / "etc/modules-load.d/pi.conf").write_text(f"{USB_DEVICE_MODULE}\n")
    (root / "etc/hostname").write_text("pi\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost pi\n::1 localhost\n")
    (root / "etc/fstab").write_text("")
    for node in ("null", "urandom"):
        (root / "dev" / node).unlink()

    image = Image(work / "disk.img", work / "vmlinuz", work / "initrd")
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), image.kernel)
    shutil.copy(next((root / "boot").glob("initrd.img-*")), image.initrd)
    run("truncate", "-s", "2G", image.disk)
    run("mke2fs", "-q", "-t", "ext4", "-d", root, image.disk)
    shutil.rmtree(root)
    return image


def install(root: Path, ek_roots: Path) -> None:
    """Install both packages, and make a station that serves another port than the existing one.

    `ek_roots` holds the certificates of the TPM's vendor.
    """
    for path in packages().values():
        shutil.copy(path, root / "root")
    shutil.copytree(ek_roots, root / "root/ek-roots")
    here = partial(inside, root)
    here("sh", "-c", "dpkg -i /root/birthmark-agent_*.deb /root/birthmark-station_*.deb")

    (root / "etc/default/birthmark-agent").write_text(f"BIRTHMARK_SERIAL={SERIAL}\n")
    (root / "etc/birthmark-station/ports.d/bench.conf").write_text("# another port than the one there is\n99-99\n")
    here("birthmark-agent", "nuc", "simulate", "--seed", SENSOR, "--output", SPARE_NUC_MAP)
    here("install", "-m", "0600", "-o", "birthmark-agent", "-g", "birthmark-agent", SPARE_NUC_MAP, NUC_MAP)
    here("sh", "-c", "install -d -m 0700 -o birthmark-station -g birthmark-station /var/lib/birthmark-station")
    here("chmod", "-R", "a+rX", "/root")
    here(
        "setpriv", "--reuid=birthmark-station", "--regid=birthmark-station", "--clear-groups",
        "birthmark-station", "init", "--data-dir", "/var/lib/birthmark-station/data", "--ek-roots", "/root/ek-roots",
        "--public-url", PUBLIC_URL,
    )  # fmt: skip
