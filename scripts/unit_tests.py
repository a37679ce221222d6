"""`make test DISTRIBUTION=trixie`: the unit tests in a chroot of that release, with its Python and its TPM library."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from scripts.chroot import CACHE, COMPILERS, ChrootError, System, make, run, this_machine

APT_PACKAGES: Final = Path(__file__).with_name("apt-packages")
NOT_FOR_UNIT_TESTS: Final = {"chromium"}
"""Large, and only tests/web has a use for it."""

ONLY_IN_A_CHROOT: Final = ["cloud-init"]
"""Its schema judges our user data (tests/unit/images). Installed on a machine that boots, it would act there."""

_TEST: Final = """
[ -x .venv/bin/pip ] || python3 -m venv --clear .venv
.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[agent,station,nuc,dev]'
.venv/bin/python --version
exec .venv/bin/pytest -n 2 --dist worksteal -m 'not slow' -p no:cacheprovider tests/unit
"""


def wanted(apt_packages: str) -> list[str]:
    """Return the packages of a list of scripts/setup that unit tests need."""
    names = re.sub(r"#.*", "", apt_packages).split()
    return [name for name in names if name not in NOT_FOR_UNIT_TESTS] + ONLY_IN_A_CHROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("distribution", help=f"one of {', '.join(COMPILERS)}")
    arguments = parser.parse_args()
    try:
        system = System(arguments.distribution, this_machine()[1])
        root = make("tests", system, wanted(APT_PACKAGES.read_text(encoding="utf-8")))
    except ChrootError as error:
        print(f"test: {error}", file=sys.stderr)
        return 1
    return run(root, "sh", "-euc", _TEST, venv=CACHE / f"venv-{system}")


if __name__ == "__main__":
    sys.exit(main())
