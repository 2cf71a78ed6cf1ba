// SPDX-License-Identifier: Apache-2.0

package disk

import "slices"

// Reason is why a disk is not linked. The words are part of the command line
// (--accept REASON) and of machine output, and do not change.
type Reason string

// Reasons that nothing overrides.
const (
	NotFound          Reason = "not-found"
	Partition         Reason = "partition"
	SystemDisk        Reason = "system-disk"
	SystemDiskUnknown Reason = "system-disk-unknown"
	InUse             Reason = "in-use"
	ReadOnly          Reason = "read-only"
	CDROM             Reason = "cdrom"
	NotChecked        Reason = "not-checked"
	AlreadyLinked     Reason = "already-linked"
	PartitionLinked   Reason = "partition-linked"
	NameTaken         Reason = "name-taken"
	VolumeExists      Reason = "volume-exists"
	IdentityChanged   Reason = "identity-changed"
	NoStableName      Reason = "no-stable-name"
	OtherClass        Reason = "other-class"
	ClassDirectory    Reason = "class-directory"
	DeviceChanged     Reason = "device-changed"
	Volatile          Reason = "volatile"
)

// Reasons that --accept overrides, each by its own word.
const (
	HasSignature  Reason = "signature"
	HasPartitions Reason = "partitions"
	HasData       Reason = "data"
	Removable     Reason = "removable"
	TooSmall      Reason = "too-small"
	Loop          Reason = "loop"
	Remote        Reason = "remote"
	Virtual       Reason = "virtual"
)

// Reasons are all of them, those that nothing overrides first.
func Reasons() []Reason {
	return append([]Reason{
		NotFound, Partition, SystemDisk, SystemDiskUnknown, InUse, ReadOnly, CDROM, NotChecked, AlreadyLinked, PartitionLinked,
		NameTaken, VolumeExists, IdentityChanged, NoStableName, OtherClass, ClassDirectory, DeviceChanged, Volatile,
	}, AcceptableReasons()...)
}

// AcceptableReasons are the words that --accept takes.
func AcceptableReasons() []Reason {
	return []Reason{HasSignature, HasPartitions, HasData, Removable, TooSmall, Loop, Remote, Virtual}
}

// Acceptable reports whether --accept can override the reason.
func (r Reason) Acceptable() bool { return slices.Contains(AcceptableReasons(), r) }

// Objection is a reason with what was seen.
type Objection struct {
	Reason Reason `json:"reason"`
	// Message completes "vdf …": `has an xfs filesystem labelled "data"`.
	Message string `json:"message"`
	// Hint is what to do, a command where there is one.
	Hint string `json:"hint,omitempty"`
}

// MinSize in bytes: a disk below it is most likely a config drive or a leftover.
const MinSize = 1 << 30
