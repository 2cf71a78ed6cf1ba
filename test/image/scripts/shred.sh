#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Empties the device named by LOCAL_PV_BLKDEVICE as far as a test can tell: its first and
# last MiB become zero. The real script of this name writes all of the device, which takes
# minutes.
set -eu
device=$LOCAL_PV_BLKDEVICE
[ -b "$device" ] || { echo "$device is not a block device."; exit 1; }
mib=$(($(blockdev --getsize64 "$device") / 1048576))
dd if=/dev/zero of="$device" bs=1M count=1 conv=fsync
if [ "$mib" -gt 1 ]; then
	dd if=/dev/zero of="$device" bs=1M count=1 seek=$((mib - 1)) conv=fsync
fi
