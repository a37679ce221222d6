"""Errors on the Pi: its board, disk, TPM, identity, NUC map and trusted root."""

from __future__ import annotations

from typing import Final

from shared.errors.kind import ErrorKind

KINDS: Final[tuple[ErrorKind, ...]] = (
    ErrorKind(
        "board.clock-wrong",
        "the clock is wrong",
        "Provisioning goes by the station's time; photos need a right one: from a network, or a clock with a battery.",
    ),
    ErrorKind(
        "board.device-mode-off",
        "config.txt does not make the USB port a device's",
        "`sudo birthmark-agent setup` writes the lines; then restart.",
    ),
    ErrorKind(
        "board.memory-low",
        "there is little free memory",
        "Stop what is not needed; a desktop and a camera program together are too much for 512 MB.",
    ),
    ErrorKind(
        "board.no-serial",
        "the board has no serial number to read",
        "Give it with --serial; on a Raspberry Pi it stands in /proc/device-tree/serial-number.",
    ),
    ErrorKind(
        "board.undervoltage",
        "the supply voltage is too low",
        "Use the maker's power supply or a shorter cable; a station's port that feeds the Pi must give what it needs.",
    ),
    ErrorKind(
        "bundle.malformed",
        "the file is not a bundle that a camera can sign",
        "Give a file that holds one JSON object of at most 4 MiB.",
    ),
    ErrorKind(
        "disk.failed",
        "the disk reports an error",
        "Look into the system log (journalctl -k); an SD card at the end of its life is read-only.",
        retry=True,
    ),
    ErrorKind(
        "disk.full",
        "the disk is full",
        "Free some space on it; nothing was changed, and the unit goes on when it is plugged in again.",
        retry=True,
    ),
    ErrorKind(
        "disk.nearly-full",
        "there is too little space for the identity and the NUC map",
        "Free some: `df -h /var/lib`, `sudo apt clean`, `sudo journalctl --vacuum-size=50M`.",
    ),
    ErrorKind(
        "disk.permission",
        "no permission to write there",
        "Run it with sudo, or as the user who owns the directory (`ls -ld DIR` shows who that is).",
    ),
    ErrorKind("file.unreadable", "the file cannot be read", "Check its path and permissions."),
    ErrorKind("file.unwritable", "the file cannot be written", "Choose a path where there is no file yet."),
    ErrorKind(
        "gadget.controller-busy",
        "the USB device controller is in use by another gadget",
        "It is left alone. Stop the other gadget (often rpi-usb-gadget, g_serial or g_ether), then start this one.",
        retry=True,
    ),
    ErrorKind(
        "gadget.down",
        "the agent's USB port is not up",
        "`systemctl status birthmark-gadget` says why; `sudo systemctl start birthmark-agent` starts both.",
        retry=True,
    ),
    ErrorKind(
        "gadget.failed",
        "the kernel refuses the USB gadget",
        "Look into the kernel's log (journalctl -k); `birthmark-agent gadget stop` removes what is left of it.",
        retry=True,
    ),
    ErrorKind(
        "gadget.getty",
        "a login prompt uses the agent's USB port",
        "`sudo systemctl mask --now serial-getty@ttyGS0 getty@ttyGS0`, and take console=ttyGS0 out of cmdline.txt.",
    ),
    ErrorKind(
        "gadget.no-controller",
        "there is no USB device controller, so this board cannot be a USB device",
        "Zero, 4, 5 and CM have one: `sudo birthmark-agent setup` switches it on in config.txt; then restart.",
        retry=True,
    ),
    ErrorKind(
        "gadget.permission", "no permission to make a USB gadget", "Run it as root, as birthmark-gadget.service does."
    ),
    ErrorKind(
        "gadget.unsupported",
        "the kernel keeps no USB gadgets in configfs",
        "Load the module (modprobe libcomposite); the service birthmark-gadget does it by itself.",
        retry=True,
    ),
    ErrorKind(
        "identity.damaged",
        "the identity on disk cannot be read",
        "Remove it with `birthmark-agent reset` and plug it in again: the NUC map stays, it gets the same certificate.",
    ),
    ErrorKind(
        "identity.lock-unfit",
        "the lock in the state directory is not a file of its own",
        "Look at it (`ls -l DIR/lock`) and who put it there, and remove it: an agent makes it again.",
    ),
    ErrorKind(
        "identity.missing",
        "this unit is not provisioned yet",
        "Plug it into a station while `birthmark-agent run` runs.",
    ),
    ErrorKind(
        "identity.not-exportable",
        "this unit's private key cannot be exported",
        "It was made in the TPM and never leaves it; a camera uses `device_agent.camera` in its place.",
    ),
    ErrorKind(
        "identity.one-slot",
        "the identity lies in one slot of an A/B image, and the other would have none",
        "Let the image share it: /etc/rpi-image-gen/slot-shared.d/birthmark-agent.conf, which the package brings, with "
        "the layer image-rota; docs/pi-integrator.md says how.",
    ),
    ErrorKind(
        "identity.permission",
        "no permission to read the identity",
        "Only the user who owns the state directory may; on a Pi that is birthmark-agent, as whom root's commands act.",
    ),
    ErrorKind(
        "identity.state-dir-busy",
        "another agent uses this state directory",
        "Wait for it, or stop it (systemctl stop birthmark-agent); two agents would undo each other's work.",
        retry=True,
    ),
    ErrorKind(
        "identity.state-dir-open",
        "the state directory can be read by others",
        "Take the permissions away (chmod 0700 DIR).",
    ),
    ErrorKind(
        "identity.volatile",
        "the identity would be lost when the power goes off",
        "Switch the overlay file system off in `sudo raspi-config` (Performance Options), or mount a disk at the state "
        "directory. `--allow-volatile` takes it all the same.",
    ),
    ErrorKind(
        "nuc.another-sensor",
        "the frames are of another sensor than the map",
        "If the sensor was replaced on purpose, `birthmark-station release SERIAL`, capture a new map and provision.",
    ),
    ErrorKind(
        "nuc.camera-failed",
        "the camera does not work",
        "Check its ribbon cable and `rpicam-hello --list-cameras`, and that no other program uses it.",
        retry=True,
    ),
    ErrorKind(
        "nuc.camera-format",
        "the camera gives raw data in a format this agent cannot use",
        "It needs unpacked raw data, or 10 or 12 bits packed as CSI-2; update libcamera and picamera2.",
    ),
    ErrorKind(
        "nuc.camera-missing",
        "there is no camera software to take frames with",
        "Install it (apt install python3-picamera2), or give a folder of frames with --from.",
    ),
    ErrorKind(
        "nuc.dark-not-dark",
        "the dark frames are not dark",
        "Cover the sensor or lens so that no light at all comes in, and capture again.",
    ),
    ErrorKind(
        "nuc.fit-unclear",
        "it is unclear whether the frames fit the map",
        "Clean the sensor, light it evenly, take more frames (--frames) and check again.",
    ),
    ErrorKind(
        "nuc.frames-mixed",
        "the frames are not all of one exposure and one light",
        "Take all flat frames under one steady light with one exposure time and gain, and all dark ones likewise.",
    ),
    ErrorKind(
        "nuc.frames-noisy",
        "the frames are too noisy to show the sensor",
        "Take more of them (--frames), or let in more light, up to half of full scale.",
    ),
    ErrorKind(
        "nuc.frames-repeated",
        "a frame is the copy of an earlier one",
        "Take each frame separately; copies hide the noise that must be measured.",
    ),
    ErrorKind(
        "nuc.frames-saturated",
        "the flat frames are saturated",
        "Let in less light or expose for a shorter time: the brightest colour should be at half of full scale.",
    ),
    ErrorKind(
        "nuc.frames-too-dark",
        "the flat frames are too dark",
        "Take the cap off, let in more light or expose longer: the brightest colour should be at half of full scale.",
    ),
    ErrorKind(
        "nuc.frames-too-few",
        "there are too few frames",
        "Take at least 8 of each kind; 32 are better.",
    ),
    ErrorKind(
        "nuc.frames-uneven",
        "the flat frames are not of an evenly lit surface",
        "Take the lens off, or lay opal glass or white paper on it, and light it evenly with nothing in the picture.",
    ),
    ErrorKind(
        "nuc.frames-unreadable",
        "a frame cannot be read",
        "Give a folder with `flat` and `dark` in it, of .npy or uncompressed .dng frames (docs/nuc-map.md).",
    ),
    ErrorKind(
        "nuc.frames-wrong-shape",
        "the frames are not of one suitable size and format",
        "Take all of them with the same sensor in the same mode, at full resolution and raw.",
    ),
    ErrorKind(
        "nuc.lens-not-covered",
        "nobody covered the lens in time",
        "Capture again, and when it asks put the cap on, or lay the sensor face down in the dark, and leave it there.",
        retry=True,
    ),
    ErrorKind(
        "nuc.map-damaged",
        "the NUC map is damaged",
        "Restore it from a copy: one captured anew has another hash, and the unit must be provisioned again.",
    ),
    ErrorKind("nuc.map-empty", "the NUC map is empty", "Capture it again with `birthmark-agent nuc capture`."),
    ErrorKind(
        "nuc.map-exists",
        "there is a NUC map already",
        "Choose another path, or replace it (--force; --yes for setup); a unit that has the old one is then refused.",
    ),
    ErrorKind(
        "nuc.map-missing",
        "there is no NUC map",
        "On the Pi, `sudo birthmark-agent nuc capture --guided` makes one where the agent waits for it, or copy the"
        " sensor's there (--nuc-map, else nuc.map in the state directory).",
    ),
    ErrorKind(
        "nuc.map-not-kept",
        "the sealed NUC map is damaged, so it cannot be kept",
        "Nothing was removed. With --forget-nuc-map all of it is; the unit then needs a copy of the map's file again.",
    ),
    ErrorKind(
        "nuc.map-not-one",
        "the file is not a NUC map",
        "Give the path of a map as `birthmark-agent nuc capture` writes it.",
    ),
    ErrorKind(
        "nuc.map-too-large",
        "the NUC map is larger than 64 MiB",
        "Give the path of the map itself, as `birthmark-agent nuc capture` writes it.",
    ),
    ErrorKind(
        "nuc.map-too-new",
        "the NUC map was written by a newer version",
        "Update this agent.",
    ),
    ErrorKind("nuc.map-unreadable", "the NUC map cannot be read", "Check its owner and permissions."),
    ErrorKind(
        "nuc.no-even-light",
        "nobody pointed the camera at an even light in time",
        "Capture again, and when it asks point it at an evenly lit surface until the LED flashes fast.",
        retry=True,
    ),
    ErrorKind(
        "nuc.no-numpy",
        "the libraries for NUC maps are not installed",
        "Install them: apt install python3-numpy python3-tifffile, or pip install 'birthmark-provisioning[nuc]'.",
    ),
    ErrorKind(
        "setup.config-missing",
        "there is no config.txt of a Raspberry Pi",
        "Mount the boot partition at /boot/firmware, name the file with --config-txt, or leave the overlays out:"
        " --no-usb-overlay --tpm-overlay none.",
    ),
    ErrorKind(
        "setup.file-unfit",
        "a file that must be changed is not a regular file of usual size",
        "Nothing is changed through a link or in a device. Look at it (`ls -l FILE`) and put an ordinary file there.",
    ),
    ErrorKind(
        "setup.needs-root",
        "only root can set this Pi up",
        "Run it again with sudo.",
    ),
    ErrorKind(
        "setup.no-service-user",
        "there is no user birthmark-agent",
        "Install the package in that system first: apt install ./birthmark-agent_*.deb.",
    ),
    ErrorKind(
        "setup.outside",
        "a link leads out of the system that is to be set up",
        "Look at the directory it names; in an image's tree, run the command in a chroot instead of with --prefix.",
    ),
    ErrorKind(
        "tpm.another-ek",
        "the TPM shows another endorsement key than the one that the station verified",
        "Nothing secret was sent to it. Check what sits between board and TPM; if that is in order, "
        "`birthmark-agent reset --forget-nuc-map` and provision it anew.",
    ),
    ErrorKind(
        "tpm.busy",
        "the TPM is busy and stays so",
        "Another program keeps it busy; use /dev/tpmrm0, which shares it, and try again.",
        retry=True,
    ),
    ErrorKind(
        "tpm.closed",
        "the camera is closed",
        "Let a program's threads end before the block of `Camera.open` does.",
    ),
    ErrorKind(
        "tpm.failed",
        "the TPM refuses a command",
        "Note the code and look it up with `tpm2_rc_decode`; the TPM may be of a kind this agent does not know.",
    ),
    ErrorKind(
        "tpm.gone",
        "the TPM has disappeared",
        "Check that its hat sits firmly, then plug the unit in again.",
        retry=True,
    ),
    ErrorKind(
        "tpm.hung",
        "the TPM does not answer",
        "Switch the power off and on; if it stays so, the TPM is broken.",
        retry=True,
    ),
    ErrorKind(
        "tpm.lockout",
        "the TPM is locked against guessing",
        "Wait until it unlocks by itself, or clear the lockout with `tpm2_dictionarylockout -c`.",
        retry=True,
    ),
    ErrorKind(
        "tpm.name-unknown",
        "the name is not a TPM's",
        "Give device:/dev/tpmrm0 for a chip, simulator for none, or one of the TCTIs swtpm:…, mssim:… and tabrmd:….",
    ),
    ErrorKind(
        "tpm.name-untyped",
        "the identity names a TPM that is not taken from a file",
        "A file may name simulator or device:/dev/tpm…; type the name of another yourself, with --tpm. If nobody "
        "provisioned this unit with that TPM, somebody has changed its identity.",
    ),
    ErrorKind(
        "tpm.no-device",
        "there is no TPM",
        "Check dtoverlay=tpm-slb9670 in config.txt and the hat's seat; `--tpm simulator` works without one.",
    ),
    ErrorKind(
        "tpm.no-ek",
        "the TPM has no endorsement key this agent knows",
        "It needs one of the TCG templates L-1, L-2 or H-1 to H-7; ask the vendor of the TPM.",
    ),
    ErrorKind(
        "tpm.not-ready",
        "the TPM does not get ready",
        "Just switched on, it may need a moment: try again. If it stays so, switch the power off and on and check that "
        "its hat sits firmly; if that does not help, the TPM is broken.",
        retry=True,
    ),
    ErrorKind(
        "tpm.not-this-one",
        "this identity belongs to another TPM",
        "Put the card back into its own unit, or `birthmark-agent reset --forget-nuc-map` and provision it anew.",
    ),
    ErrorKind(
        "tpm.owned",
        "the TPM has a password",
        "The agent needs its owner and endorsement hierarchies without one: clear the TPM, or replace it.",
    ),
    ErrorKind(
        "tpm.permission", "no permission to use the TPM", "Add the user to the group of the TPM's device (often tss)."
    ),
    ErrorKind(
        "tpm.simulator-failed", "the TPM simulator does not start", "Look into swtpm.log in the state directory."
    ),
    ErrorKind(
        "tpm.simulator-missing", "the TPM simulator is not installed", "Install it: apt install swtpm swtpm-tools."
    ),
    ErrorKind(
        "trust.authority-unfit",
        "a certificate from the station was issued by an authority that is meant for something else",
        "It is false, or its intermediate was made wrongly: the extended key usages of that one must be a station's "
        "and a client's. Do not plug the unit into it.",
    ),
    ErrorKind(
        "trust.chain-for-another",
        "the station gave a certificate that is not for this unit",
        "The station is faulty or false; nothing was stored.",
    ),
    ErrorKind(
        "trust.chain-untrusted",
        "the certificate chain from the station does not verify",
        "The station is faulty or false; nothing was stored.",
    ),
    ErrorKind(
        "trust.intermediate-not-one",
        "the file is not the intermediate certificate of that root",
        "Take authority/intermediate.pem from the data directory that root.pem is from: one certificate, as PEM.",
    ),
    ErrorKind(
        "trust.intermediate-unpinned",
        "the station's intermediate does not say what it may issue, and this unit does not know it",
        "If it is your station's: `birthmark-agent setup --root root.pem --intermediate intermediate.pem`, both from "
        "authority/ in its data directory; where the unit remembers another: `birthmark-agent reset --forget-root`.",
    ),
    ErrorKind(
        "trust.intermediate-unreadable",
        "the intermediate certificate cannot be read",
        "Give a PEM or DER certificate with --intermediate-certificate.",
    ),
    ErrorKind(
        "trust.not-a-station",
        "the other end has a certificate, but not a station's",
        "It is false: only a station's certificate may provision; do not plug the unit into it.",
    ),
    ErrorKind(
        "trust.root-not-one",
        "the file is not a root certificate",
        "Take root.pem from the station's data directory (authority/root.pem): one certificate, as PEM.",
    ),
    ErrorKind(
        "trust.root-unreadable",
        "the root certificate cannot be read",
        "Give a PEM or DER certificate with --root-certificate.",
    ),
    ErrorKind(
        "trust.station-expired",
        "the station's certificate is not valid at the station's time",
        "Set the station's clock right; if it is right, the station needs a new certificate.",
    ),
    ErrorKind(
        "trust.station-forged",
        "the station's signature is not its own",
        "It is false, or something on the cable changes what is sent; do not plug the unit into it.",
    ),
    ErrorKind(
        "trust.station-list-forged",
        "the station's list of revoked stations is not its authority's",
        "It is false or damaged; do not plug the unit into it, and tell whoever runs the authority.",
    ),
    ErrorKind(
        "trust.station-list-unreadable",
        "the list of revoked stations that this unit keeps cannot be read",
        "The card is damaged. `sudo birthmark-agent reset --forget-root` forgets list, identity and authority.",
    ),
    ErrorKind(
        "trust.station-revoked",
        "the authority has revoked this station",
        "Its key was stolen, or it is out of service: plug the unit into another one. At the station, see "
        "`birthmark-station station list`; a running station gets a new certificate by itself.",
    ),
    ErrorKind(
        "trust.station-untrusted",
        "the station's certificate leads to another root than this unit trusts",
        "Use a station of this unit's authority, or let it trust another: `birthmark-agent reset --forget-root`.",
    ),
    ErrorKind(
        "trust.table-not-for-this-tpm",
        "the station gave a table key that this TPM cannot open",
        "The station is faulty or false; nothing was stored.",
    ),
    ErrorKind(
        "trust.tables-malformed",
        "the station did not give three different key tables",
        "The station is faulty or false; nothing was stored.",
    ),
)
