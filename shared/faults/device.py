"""What goes wrong on the Pi: its board, disk, TPM, identity, NUC map, and whom it trusts. Data only."""

from __future__ import annotations

from typing import Final

from shared.faults.fault import Fault

FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        "board.no-serial",
        "the board has no serial number to read",
        "Give it with --serial; on a Raspberry Pi it stands in /proc/device-tree/serial-number.",
    ),
    Fault(
        "disk.failed",
        "the disk refuses",
        "Look into the system log (journalctl -k); an SD card at the end of its life is read-only.",
        retry=True,
    ),
    Fault(
        "disk.full",
        "the disk is full",
        "Free some space on it; nothing was changed, and the unit goes on when it is plugged in again.",
        retry=True,
    ),
    Fault(
        "gadget.controller-busy",
        "the USB device controller is in use by another gadget",
        "It is left alone. Stop the other gadget (often rpi-usb-gadget, g_serial or g_ether), then start this one.",
        retry=True,
    ),
    Fault(
        "gadget.failed",
        "the kernel refuses the USB gadget",
        "Look into the kernel's log (journalctl -k); `birthmark-agent gadget stop` removes what is half made.",
        retry=True,
    ),
    Fault(
        "gadget.no-controller",
        "there is no USB device controller, so this board cannot be a USB device",
        "Add the line dtoverlay=dwc2,dr_mode=peripheral to config.txt and restart; Zero, 4, 5 and CM have one.",
        retry=True,
    ),
    Fault(
        "gadget.permission", "no permission to make a USB gadget", "Run it as root, as birthmark-gadget.service does."
    ),
    Fault(
        "gadget.unsupported",
        "the kernel keeps no USB gadgets in configfs",
        "Load the module (modprobe libcomposite); the service birthmark-gadget does it by itself.",
        retry=True,
    ),
    Fault(
        "identity.damaged",
        "the identity on disk cannot be read",
        "Remove it with `birthmark-agent reset` and plug the unit in again; it gets the same certificate back.",
    ),
    Fault(
        "identity.missing",
        "this unit is not provisioned yet",
        "Plug it into a station while `birthmark-agent run` runs.",
    ),
    Fault(
        "identity.not-exportable",
        "this unit's private key cannot be exported",
        "It was born in the TPM and never leaves it; a camera uses `device_agent.camera` in its place.",
    ),
    Fault(
        "identity.permission",
        "no permission to read the identity",
        "Run as the user who owns the state directory, often with sudo -u birthmark.",
    ),
    Fault(
        "identity.state-dir-busy",
        "another agent uses this state directory",
        "Wait for it, or stop it (systemctl stop birthmark-agent); two agents would undo each other's work.",
        retry=True,
    ),
    Fault(
        "identity.state-dir-open",
        "the state directory can be read by others",
        "Take the permissions away (chmod 0700 DIR).",
    ),
    Fault("nuc.map-empty", "the NUC map is empty", "Capture it again with `birthmark-agent nuc capture`."),
    Fault(
        "nuc.map-missing",
        "there is no NUC map",
        "Give its path with --nuc-map; `birthmark-agent nuc capture` makes one.",
    ),
    Fault(
        "nuc.map-too-large",
        "the NUC map is larger than 64 MiB",
        "Give the path of the map itself, as `birthmark-agent nuc capture` writes it.",
    ),
    Fault("nuc.map-unreadable", "the NUC map cannot be read", "Check its owner and permissions."),
    Fault(
        "tpm.busy",
        "the TPM is busy and stays so",
        "Another program keeps it busy; use /dev/tpmrm0, which shares it, and try again.",
        retry=True,
    ),
    Fault(
        "tpm.failed",
        "the TPM refuses a command",
        "Note the code and look it up with `tpm2_rc_decode`; the TPM may be of a kind this agent does not know.",
    ),
    Fault(
        "tpm.gone",
        "the TPM is there no longer",
        "Check that its hat sits firmly, then plug the unit in again.",
        retry=True,
    ),
    Fault(
        "tpm.hung",
        "the TPM does not answer",
        "Take the power away and give it back; if it stays so, the TPM is broken.",
        retry=True,
    ),
    Fault(
        "tpm.lockout",
        "the TPM is locked against guessing",
        "Wait until it unlocks by itself, or clear the lockout with `tpm2_dictionarylockout -c`.",
        retry=True,
    ),
    Fault(
        "tpm.no-device",
        "there is no TPM",
        "Check dtoverlay=tpm-slb9670 in config.txt and the hat's seat; `--tpm simulator` works without one.",
    ),
    Fault(
        "tpm.no-ek",
        "the TPM has no endorsement key this agent knows",
        "It needs one of the TCG templates L-1, L-2 or H-1 to H-7; ask the maker of the TPM.",
    ),
    Fault(
        "tpm.not-this-one",
        "this identity belongs to another TPM",
        "Put the card back into its own unit, or `birthmark-agent reset` this one and provision it.",
    ),
    Fault(
        "tpm.permission", "no permission to use the TPM", "Add the user to the group of the TPM's device (often tss)."
    ),
    Fault("tpm.simulator-failed", "the TPM simulator does not start", "Look into swtpm.log in the state directory."),
    Fault("tpm.simulator-missing", "the TPM simulator is not installed", "Install it: apt install swtpm swtpm-tools."),
    Fault(
        "trust.chain-for-another",
        "the station gave a certificate that is not for this unit",
        "The station is faulty or false; nothing was stored.",
    ),
    Fault(
        "trust.chain-untrusted",
        "the certificate chain from the station does not verify",
        "The station is faulty or false; nothing was stored.",
    ),
    Fault(
        "trust.not-a-station",
        "what answers has a certificate, but not a station's",
        "It is false: only a station's certificate may provision; do not plug the unit into it.",
    ),
    Fault(
        "trust.root-unreadable",
        "the root certificate cannot be read",
        "Give a PEM or DER certificate with --root-certificate.",
    ),
    Fault(
        "trust.station-forged",
        "the station's signature is not its own",
        "It is false, or something on the cable changes what is sent; do not plug the unit into it.",
    ),
    Fault(
        "trust.station-untrusted",
        "the station's certificate leads to another root than this unit trusts",
        "Use a station of this unit's authority, or let it trust another: `birthmark-agent reset --forget-root`.",
    ),
)
