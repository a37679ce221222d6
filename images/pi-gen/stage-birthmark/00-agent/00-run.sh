#!/bin/bash -e
# files/ beside this script holds birthmark-agent.deb and root.pem, which you put there.

install -d -m 755 "${ROOTFS_DIR}/tmp/birthmark"
install -m 644 files/birthmark-agent.deb files/root.pem "${ROOTFS_DIR}/tmp/birthmark/"
on_chroot << 'CHROOT'
apt-get install -y /tmp/birthmark/birthmark-agent.deb
birthmark-agent setup --root /tmp/birthmark/root.pem --yes
CHROOT
rm -r "${ROOTFS_DIR}/tmp/birthmark"
