#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Does to the device named by LOCAL_PV_BLKDEVICE what the real image's script of this name
# does (deployment/docker/scripts/quick_reset.sh): it makes an ext2 filesystem and takes its
# signature away. What else such a filesystem has in the first MiB stays.
# mkfs fails while the device is mounted.
set -eu
device=$LOCAL_PV_BLKDEVICE
[ -b "$device" ] || { echo "$device is not a block device."; exit 1; }
echo "Calling mkfs"
mkfs -F "$device"
echo "Calling wipefs"
wipefs -a "$device"
echo "Quick reset completed"
