"""In an arm64 guest: makes a /dev/tpm0 of a TPM that runs outside, at the other end of a virtio port.

tpm_relay.py PORT. The kernel's vtpm-proxy hands every command to this program, which sends it out and the answer back.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time

NEW_DEVICE = 0xC014A100
"""_IOWR(0xa1, 0, struct vtpm_proxy_new_dev): flags, TPM number, descriptor, major, minor."""

TPM2 = 1
SET_LOCALITY = 0x20001000
"""The one command that is the proxy's and not the TPM's."""

HEADER = struct.Struct(">HII")


def read(port: int, size: int) -> bytes:
    """Read so many bytes; a port whose other end is closed reads as empty."""
    data = b""
    while len(data) < size:
        more = os.read(port, size - len(data))
        if not more:
            time.sleep(0.01)
        data += more
    return data


def main() -> None:
    proxy = os.open("/dev/vtpmx", os.O_RDWR)
    made = fcntl.ioctl(proxy, NEW_DEVICE, struct.pack("=5I", TPM2, 0, 0, 0, 0))
    kernel = struct.unpack("=5I", made)[2]
    port = os.open(sys.argv[1], os.O_RDWR)
    while True:
        command = os.read(kernel, 4096)
        if HEADER.unpack_from(command)[2] == SET_LOCALITY:
            os.write(kernel, HEADER.pack(0x8001, HEADER.size, 0))
            continue
        os.write(port, command)
        header = read(port, HEADER.size)
        os.write(kernel, header + read(port, HEADER.unpack(header)[1] - HEADER.size))


if __name__ == "__main__":
    main()
