#!/usr/bin/env python3
"""A door for the command line of Birthmark's documents: `python scripts/provision_device.py --serial DEVICE001`.

It is `birthmark-station provision`, with the public SMA's names: the station in ./data, and the file in
./provisioned_devices. docs/birthmark.md says where it differs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from runtime.owner import become, owner_of
from shared.errors import BirthmarkError, format_error
from station.cli.provision import provision_unit
from station.provisioning.offline import ProvisioningRequest, parse_nuc_hash


def main() -> int:
    parser = argparse.ArgumentParser(description="Provision a device as Birthmark's documents say.")
    parser.add_argument("--serial", required=True, help="its serial number, such as DEVICE001")
    parser.add_argument("--family", default="Raspberry Pi", help="its family (default: Raspberry Pi)")
    parser.add_argument(
        "--nuc-hash", help="its NUC hash, 64 hexadecimal digits, which other users see in the list of processes"
    )
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="the authority (default: ./data)")
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("provisioned_devices"),
        help="where the file goes (default: ./%(default)s)",
    )
    options = parser.parse_args()
    try:
        if options.nuc_hash is not None:
            parse_nuc_hash(options.nuc_hash)  # an empty one is a mistake, not a request to make one
        request = ProvisioningRequest(options.serial, options.family, options.nuc_hash)
        become(owner_of(options.data_dir))
        unit, file = asyncio.run(provision_unit(options.data_dir, options.output_dir, request))
    except BirthmarkError as error:
        print(format_error(error), file=sys.stderr)
        return int(error.exit_code)
    print(f"Provisioned {unit.serial} ({unit.family}), tables {', '.join(map(str, unit.tables))}: {file}")
    print("It holds the private key and three master keys: hand it over, then delete it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
