"""Errors on the cable and in a session, at either end."""

from __future__ import annotations

from typing import Final

from shared.errors.kind import ErrorKind

KINDS: Final[tuple[ErrorKind, ...]] = (
    ErrorKind(
        "link.busy",
        "the serial port is in use by another program",
        "Close the other program (a terminal, ModemManager, a second agent or station) and try again.",
        retry=True,
    ),
    ErrorKind(
        "link.frame-too-large",
        "a frame is larger than 64 KiB",
        "The other end is not a Birthmark program of a known version; look at what is plugged in.",
    ),
    ErrorKind(
        "link.lost",
        "the cable was pulled or the port has vanished",
        "Plug the unit in again; it goes on where it was, and nothing is issued twice.",
        retry=True,
    ),
    ErrorKind(
        "link.no-port",
        "there is no such serial port",
        "Check the path; on a Pi, /dev/ttyGS0 needs the USB gadget (`birthmark-agent doctor`).",
        retry=True,
        cases={
            "station": "Plug a unit in, or correct --serial-port: `ls /dev/birthmark/* /dev/ttyACM*` shows what is "
            "plugged in.",
        },
    ),
    ErrorKind(
        "link.no-station",
        "no station has sent anything",
        "See that the station runs, and the cable carries data and is in the port for devices: USB-C on a 4 or 5, the"
        " inner one on a Zero. `birthmark-agent gadget status` tells whether a host is there.",
        retry=True,
    ),
    ErrorKind(
        "link.noise",
        "the line carries too much noise for a session",
        "Another program writes to this port, or the cable is damaged.",
        retry=True,
    ),
    ErrorKind(
        "link.not-a-port",
        "that path is not a serial port",
        "Give the path of a tty with --port, /dev/ttyGS0 on a Pi.",
        cases={"station": "Give the path of a tty with --serial-port, such as /dev/ttyACM0."},
    ),
    ErrorKind(
        "link.permission",
        "no permission to open the serial port",
        "Add the user to the group that owns the port (often dialout), or install the udev rule.",
    ),
    ErrorKind(
        "link.silent",
        "the other end went silent in the middle of a session",
        "Check the cable and plug the unit in again.",
        retry=True,
    ),
    ErrorKind(
        "link.slow",
        "the session was not done in the time it has",
        "Bytes came all the while, so it is not the cable: another program writes to this port, the other end is no "
        "Birthmark program, or one of the two has too much to do. Plug the unit in again.",
        retry=True,
    ),
    ErrorKind(
        "link.unread",
        "the other end does not read what it is sent",
        "Its program hangs, or is none of Birthmark's: unplug the unit, restart it and plug it in again.",
        retry=True,
    ),
    ErrorKind(
        "message.field-invalid",
        "a field of a message is missing, of the wrong type, or out of its limits",
        "The other end is faulty or hostile; check that both run current versions.",
    ),
    ErrorKind(
        "message.malformed",
        "a message cannot be decoded",
        "The other end is not a Birthmark program; look at what is plugged in.",
    ),
    ErrorKind(
        "message.unknown",
        "a message is of an unknown kind",
        "Update the older of station and agent so that both speak the same version.",
    ),
    ErrorKind(
        "message.version-unknown",
        "a message has a version this program does not speak",
        "Update the older of station and agent so that both speak the same version.",
    ),
    ErrorKind(
        "session.challenge-malformed",
        "the station's challenge is malformed",
        "The station is faulty or false; do not plug the unit into it.",
    ),
    ErrorKind(
        "session.internal",
        "an unexpected error stopped the session",
        "Read the log, and report the error; the unit can be plugged in again.",
        retry=True,
    ),
    ErrorKind(
        "session.receipt-differs",
        "the unit stored something else than it got",
        "Plug the unit in again; if it stays so, its storage is damaged.",
        retry=True,
    ),
    ErrorKind(
        "session.receipt-forged", "the unit's receipt is not signed by its key", "The unit is faulty or hostile."
    ),
    ErrorKind(
        "session.refused",
        "the other end refused for a reason this version does not know",
        "Look at the other end; update the older of the two.",
    ),
    ErrorKind(
        "session.refused-by-station",
        "the station ended the session",
        "The station's page and audit log say more; plug the unit in again once it is set right.",
    ),
    ErrorKind(
        "session.refused-by-unit",
        "the unit ended the session",
        "The reason is the unit's; its own log (journalctl -u birthmark-agent) says more.",
    ),
    ErrorKind(
        "session.unexpected-message",
        "a message came at the wrong time",
        "The other end is faulty or hostile; unplug it.",
    ),
    ErrorKind(
        "session.unit-not-ready",
        "the unit is not ready, for a reason this version does not know",
        "`sudo birthmark-agent status` on the unit says what it lacks; update the station.",
        retry=True,
    ),
)
