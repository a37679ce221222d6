"""What only hardware shows, and so a person has to try: the lines of the form in docs/hardware-checklist.md.

`birthmark-agent doctor --report` writes them below what it found itself; `make docs` writes them into the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Trial:
    number: int
    minutes: int
    boards: str
    do: str
    see: str
    """What should be seen."""


TRIALS: Final = (
    Trial(
        1,
        3,
        "each",
        "`sudo birthmark-agent setup --root root.pem`, then again",
        "*Boot settings: done*; the second run changes nothing. On a CM4 it names `otg_mode=1 under [cm4]`, on a CM5 "
        "`dtoverlay=dwc2,dr_mode=host under [cm5]`",
    ),
    Trial(
        2,
        3,
        "each",
        "`sudo reboot`, then `ls /sys/class/udc` and `sudo birthmark-agent doctor`",
        "one controller; nothing that doctor calls a problem but the NUC map",
    ),
    Trial(
        3,
        6,
        "with camera",
        "wait a minute; then `sudo birthmark-agent nuc capture --guided --output /var/lib/birthmark-agent/nuc.map`, "
        "doing only what the LED says: first a dim lamp and a window in the picture, then an even light, then the cap; "
        "sensor, time and `VmHWM` of its `/proc/PID/status` noted",
        "the LED: two short flashes every two seconds while the map is missing; a second on and off; fast flashes; "
        "on with short gaps; fast flashes; steady; then it waits for a station without a restart. The words name the "
        "lamp and the window. A map; on a Zero 2 W without running out of memory",
    ),
    Trial(
        4,
        2,
        "each",
        "plug the cable for devices into the station, another for power",
        "the card goes to **Done**, TPM *genuine*, vendor and model named; the serial number is the board's own",
    ),
    Trial(
        5,
        2,
        "4, 5",
        "the same with the USB-C cable of the station alone",
        "no restart of the Pi, and `doctor` says that the voltage is high enough",
    ),
    Trial(
        6,
        2,
        "each",
        "watch the green LED in both",
        "a short flash every two seconds, fast flashes, steady light",
    ),
    Trial(
        7,
        8,
        "each",
        "`sudo birthmark-agent reset --yes; sudo systemctl start birthmark-agent`, pull the cable in mid-session and "
        "put it back, ten times",
        "the card says unplugged and goes on at the next plug-in; at the station `ls /dev/birthmark` is empty in "
        "between; in the end **Done**",
    ),
    Trial(
        8,
        8,
        "one",
        "the same, but pull the power, ten times",
        "in the end **Done**; `sudo tpm2_getcap properties-variable` (package tpm2-tools) shows "
        "`TPM2_PT_LOCKOUT_COUNTER: 0x0`",
    ),
    Trial(
        9,
        4,
        "each",
        "once it is provisioned: `sudo reboot`, wait a minute, then plug it into a Linux computer and look at "
        "`dmesg -w` there for two minutes",
        "nothing at all about USB: no new device, no error, no power cycle of the port",
    ),
    Trial(
        10,
        3,
        "each",
        "leave the network out, `sudo date -s 2019-01-01`, then a session as in 7 without pulling",
        "**Done**: the agent goes by the station's time; `doctor` notes the clock",
    ),
    Trial(
        11,
        6,
        "A/B image",
        "provision it, switch to the other slot (`sudo reboot '0 tryboot'` or an update)",
        "`sudo birthmark-agent status` says `provisioned` in both slots; `doctor` names no slot",
    ),
    Trial(
        12,
        2,
        "with camera",
        "a day later, at another temperature: `sudo birthmark-agent nuc check`",
        "*Verdict: fits*; on a second sensor of the same kind *another-sensor*",
    ),
    Trial(
        13,
        4,
        "ST, Nuvoton hats",
        "1, 2 and 4 with `--tpm-overlay` of that hat",
        "the same",
    ),
)
