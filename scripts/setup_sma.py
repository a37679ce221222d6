#!/usr/bin/env python3
"""A door for the command line of Birthmark's documents: `python scripts/setup_sma.py` makes a station in ./data.

It is `birthmark-station init` and `tokens create`, with the public SMA's names, and prints the documents' curl lines
with a token in them. docs/birthmark.md says where it differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from runtime.files import write_private
from runtime.owner import acting_as, owner_of
from shared import limits
from shared.errors import BirthmarkError, format_error
from station.cli.init import settings
from station.cli.tokens import make_token
from station.config import EkPolicy, EkTemplateName, WebConfig
from station.registry.tokens import Scope
from station.setup.data_dir import is_station
from station.setup.init import init_data_dir

TOKEN_DAYS: Final = 30
ADDRESS: Final = "http://localhost:8001"
OPEN_LINES: Final = (f"curl {ADDRESS}/health",)
CLOSED_LINES: Final = (
    f"curl {ADDRESS}/stats",
    f'curl -X POST "{ADDRESS}/api/v1/devices/provision" -H "Content-Type: application/json" '
    '-d \'{"device_serial": "API-DEVICE001", "device_family": "Raspberry Pi"}\'',
    f"curl {ADDRESS}/api/v1/devices/API-DEVICE001",
    f"curl {ADDRESS}/api/v1/devices",
)
"""Those of the documents' lines that need a token here."""

_SAME_NAMES: Final = {"root-ca.crt": "root.pem", "intermediate-ca.crt": "intermediate.pem"}
"""What the public setup writes and a station has, too, though in `authority/`."""


def make_station(data_dir: Path, tables: int, *, force: bool) -> str:
    """Make the station. Returns a token for the curl lines."""
    config = settings(
        "station",
        "Birthmark Standard Foundation",
        "birthmark_simulated_ma",
        ADDRESS,
        tables,
        EkPolicy.REQUIRE,
        EkTemplateName.L_2,
        WebConfig(),
    )
    made = init_data_dir(data_dir, config, force=force, root_passphrase=None, ek_roots=None)
    with acting_as(owner_of(data_dir)):
        for name, own in _SAME_NAMES.items():
            write_private(data_dir / name, (data_dir / "authority" / own).read_bytes())
        token, _ = make_token(data_dir, "setup_sma.py", frozenset({Scope.PROVISION, Scope.READ}), TOKEN_DAYS)
    print(f"Made an authority with {tables} key tables in {data_dir}.")
    if made.replaced:
        print(f"Moved the one that was there, with its devices, to {made.replaced}.")
    print(f"Move the root key to a safe place: {made.root_key}, and to another one {made.root_passphrase}.")
    return token


def print_next_steps(data_dir: Path, token: str | None) -> None:
    print("\nNext steps:")
    print(f"  1. Start it:           birthmark-station serve --data-dir {data_dir}")
    print("  2. Provision a device: python scripts/provision_device.py --serial DEVICE001")
    print("  3. Ask it:")
    for line in OPEN_LINES:
        print(f"     {line}")
    if token is None:
        print(f"     The others need a token: birthmark-station tokens create NAME --data-dir {data_dir} --scope …")
        return
    for line in CLOSED_LINES:
        print(f'     {line} -H "Authorization: Bearer {token}"')
    print(f"     The token is good for {TOKEN_DAYS} days, and shown only now.")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make an authority as Birthmark's documents say.")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="the directory to make (default: ./data)")
    parser.add_argument("--num-tables", type=int, default=10, help="how many key tables, 3 to 2500 (default: 10)")
    parser.add_argument("--phase2", action="store_true", help="the same as --num-tables 2500")
    parser.add_argument("--force", action="store_true", help="move aside what is there, and make it anew")
    options = parser.parse_args()
    tables = limits.TABLE_COUNT_MAX if options.phase2 else options.num_tables
    token = None
    try:
        with acting_as(owner_of(options.data_dir)):
            there = is_station(options.data_dir)
        if there and not options.force:
            print(f"There is an authority in {options.data_dir}; nothing is changed. --force makes another.")
        else:
            token = make_station(options.data_dir, tables, force=options.force)
    except BirthmarkError as error:
        print(format_error(error), file=sys.stderr)
        return int(error.exit_code)
    print_next_steps(options.data_dir, token)
    return 0


if __name__ == "__main__":
    sys.exit(main())
