"""A Debian of another release or architecture in .cache/chroots, in which commands run on this checkout.

It is made by mmdebstrap, once for each list of packages. The mirror is mmdebstrap's own, or DEBIAN_MIRROR; pip goes
where it goes on this machine. Another architecture is emulated (qemu-user), all but the compiler proper: that is this
machine's own, for nine tenths of a build's work is done in it.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CACHE: Final = ROOT / ".cache" / "chroots"
SOURCE: Final = "/src"
"""Where the checkout is in a chroot."""

COMPILERS: Final = {"bookworm": "12", "trixie": "14"}
"""The releases, with the version of their C compiler."""

TRIPLETS: Final = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "armhf": "arm-linux-gnueabihf"}
_LOADERS: Final = {"amd64": "lib64/ld-linux-x86-64.so.2", "arm64": "lib/ld-linux-aarch64.so.1"}
"""What starts a program of a machine that builds."""

_EMULATORS: Final = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "arm"}
_BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")

_ENTER: Final = """
set -eu
root=$1 checkout=$2 over=$3; shift 3
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
for file in /etc/resolv.conf /etc/hosts; do
    rm -f "$root$file"; touch "$root$file"; mount --bind "$file" "$root$file"
done
mkdir -p "$root/src"; mount --rbind "$checkout" "$root/src"
[ -z "$over" ] || { mkdir -p "$checkout/.venv" "$over"; mount --bind "$over" "$root/src/.venv"; }
while [ "$1" != -- ]; do
    mkdir -p "$(dirname "$root$1")"
    if [ -d "$1" ]; then mkdir -p "$root$1"; else touch "$root$1"; fi
    mount --bind "$1" "$root$1"; shift
done
shift
exec chroot "$root" sh -c 'cd /src && exec "$@"' sh "$@"
"""

_OWN_MOUNTS: Final = ("unshare", "--mount", "--propagation", "private")
"""No mount of a command outlives it: mmdebstrap, killed, leaves this machine's /dev/shm in its tree."""


class ChrootError(Exception):
    """Why there is no such Debian, in a sentence for the user."""


@dataclass(frozen=True, slots=True)
class System:
    """A release of Debian on an architecture."""

    distribution: str
    architecture: str

    def __post_init__(self) -> None:
        for value, known in ((self.distribution, COMPILERS), (self.architecture, TRIPLETS)):
            if value not in known:
                raise ChrootError(f"{value!r} is none of {', '.join(known)}")

    def __str__(self) -> str:
        return f"{self.distribution}-{self.architecture}"


def this_machine() -> tuple[str, str]:
    """Return release and architecture of the machine that this runs on, which may be none that we know."""
    told = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    return told.get("VERSION_CODENAME", "").strip('"'), _output("dpkg", "--print-architecture")


def make(purpose: str, system: System, packages: Iterable[str]) -> Path:
    """Return the directory of a chroot with these packages; it is made only when the last one had others.

    Raises ChrootError.
    """
    here = this_machine()[1]
    names = sorted({*packages, "ca-certificates", "git"})
    root = CACHE / f"{purpose}-{system}-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:12]}"
    if root.exists():
        return root
    for old in CACHE.glob(f"{purpose}-{system}-*"):
        remove(old)
    made = CACHE / f"{purpose}-{system}.part"
    remove(made)
    CACHE.mkdir(parents=True, exist_ok=True)
    print(f"chroot: making {root.name}", file=sys.stderr, flush=True)
    bootstrap(system, names, made, "--variant=buildd")
    if system.architecture != here:
        compiler = CACHE / f"compiler-{system}.part"
        remove(compiler)
        bootstrap(System(system.distribution, here), [compiler_package(system)], compiler, "--variant=extract")
        use_own_compiler(made, system, compiler, here)
        remove(compiler)
    made.rename(root)
    return root


def bootstrap(system: System, packages: Iterable[str], target: Path, *options: str) -> None:
    """Have mmdebstrap make a Debian. Raises ChrootError, with the mirror's own words."""
    if system.architecture != this_machine()[1]:
        _let_run(system.architecture)
    command = [
        *_OWN_MOUNTS, "mmdebstrap", "--quiet", "--mode=root", f"--architectures={system.architecture}",
        "--aptopt=Apt::Install-Recommends false", "--dpkgopt=force-unsafe-io", f"--include={','.join(packages)}",
        *options, system.distribution, str(target),
    ]  # fmt: skip
    if mirror := os.environ.get("DEBIAN_MIRROR"):
        command.append(mirror)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise ChrootError(
            f"mmdebstrap made no {system.distribution} for {system.architecture}. It takes a mirror that has both; "
            f"DEBIAN_MIRROR names another than its own. It said:\n{done.stdout[-2000:]}"
        )


def remove(tree: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Remove a tree, if it is there. Raises ChrootError where something is mounted in it, which would go, too."""
    inside = [
        line.split()[1] for line in mounts.read_text(encoding="utf-8").splitlines() if f" {tree.resolve()}/" in line
    ]
    if inside:
        raise ChrootError(f"{tree} is not removed: mounted in it are {', '.join(inside)}; umount them first")
    if tree.exists():
        shutil.rmtree(tree)


def run(root: Path, *command: str, environment: Mapping[str, str] | None = None, venv: Path | None = None) -> int:
    """Run a command in the chroot, in the checkout. `venv` takes the place of the checkout's. Returns its exit code."""
    settings = pip_settings(_output(sys.executable, "-m", "pip", "config", "list"))
    config = root / "root/pip.conf"
    config.touch(0o600)
    config.write_text(settings, encoding="utf-8")
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    paths = {path: None for path in local_paths([settings, *pip.values()]) if Path(path).exists()}
    everything = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or name == "CI"},
        **pip, "PIP_CONFIG_FILE": "/root/pip.conf",
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": SOURCE,
        **(environment or {}),
    }  # fmt: skip
    inside = ["env", "-i", *(f"{name}={value}" for name, value in everything.items()), *command]
    return subprocess.run(
        [*_OWN_MOUNTS, "sh", "-c", _ENTER, "sh", root, ROOT, venv or "", *paths, "--", *inside], check=False
    ).returncode  # fmt: skip


def pip_settings(told: str) -> str:
    """Return what `pip config list` told as a file in pip's form; what came from the environment stays there."""
    sections: dict[str, list[str]] = {}
    for line in told.splitlines():
        if found := re.fullmatch(r"([a-z]+)\.([a-z-]+)=(.*)", line):
            value = str(ast.literal_eval(found[3])).strip().replace("\n", "\n  ")
            sections.setdefault(found[1], []).append(f"{found[2]} = {value}")
    return "".join(f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items())


def local_paths(settings: Iterable[str]) -> Iterator[str]:
    """Find the files and directories that settings of pip name. An index's pages are in `simple`, its files beside."""
    for text in settings:
        for word in text.split():
            path = word.removeprefix("file://").removesuffix("/")
            if path.startswith("/"):
                yield path.removesuffix("/simple")


def compiler_package(system: System) -> str:
    """Return Debian's cross compiler for a system. It cannot be installed beside the system's own compiler."""
    return f"cpp-{COMPILERS[system.distribution]}-{TRIPLETS[system.architecture].replace('_', '-')}"


def use_own_compiler(root: Path, system: System, compiler: Path, here: str) -> None:
    """Let the emulated gcc call this machine's cc1, out of a tree of the cross compiler with its libraries."""
    place = f"{TRIPLETS[system.architecture]}/{COMPILERS[system.distribution]}"
    (own,) = compiler.glob(f"usr/lib*/gcc-cross/{place}/cc1")
    (emulated,) = root.glob(f"usr/lib*/gcc/{place}/cc1")
    emulated.unlink()
    shutil.copy(own, emulated)
    libraries = root / "usr/lib" / TRIPLETS[here]
    libraries.mkdir(parents=True)
    places = (f"{usr}lib/{TRIPLETS[here]}/*.so*" for usr in ("", "usr/"))  # one and the same, or two
    for name, found in {found.name: found for each in places for found in compiler.glob(each)}.items():
        shutil.copy(found, libraries / name, follow_symlinks=False)
    loader = root / _LOADERS[here]
    loader.parent.mkdir(exist_ok=True)
    loader.symlink_to(f"/usr/lib/{TRIPLETS[here]}/{loader.name}")
    # It looks for its own headers, such as stddef.h, where a cross compiler has them.
    headers = root / "usr/lib/gcc-cross" / place / "include"
    headers.parent.mkdir(parents=True, exist_ok=True)
    headers.symlink_to(f"/usr/lib/gcc/{place}/include")


def _let_run(architecture: str) -> None:
    """Let the kernel run another architecture's programs; a machine that starts no services has it not done yet."""
    name = f"qemu-{_EMULATORS[architecture]}"
    if not (_BINFMT / name).exists():
        for command in (["mount", "-t", "binfmt_misc", "none", str(_BINFMT)], ["update-binfmts", "--enable", name]):
            if (_BINFMT / "register").exists() and command[0] == "mount":
                continue
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if not (_BINFMT / name).exists():
        raise ChrootError(f"this machine runs no programs for {architecture}: {_BINFMT / name} is missing")


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
