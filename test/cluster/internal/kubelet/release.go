// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"strings"
)

// Release is a release of Talos, as far as a kubelet's mounts tell them apart.
type Release struct{ Minor, Patch int }

// Latest is the release whose mounts a kubelet gets by default.
var Latest = Release{Minor: 13, Patch: 9}

// ParseRelease reads a version of Talos 1, such as v1.13.9.
func ParseRelease(version string) (Release, error) {
	var r Release
	// What follows a hyphen is of no interest here.
	number, _, _ := strings.Cut(version, "-")
	if n, err := fmt.Sscanf(number, "v1.%d.%d", &r.Minor, &r.Patch); n != 2 || err != nil {
		return r, fmt.Errorf("%q is not a version of Talos 1", version)
	}
	return r, nil
}

// userVolumes are the options of the mount of /var/mnt, or nil where there is
// none: it came with v1.10.
func (r Release) userVolumes() []string {
	switch {
	case r.Minor < 10:
		return nil
	case r.Minor < 13:
		return []string{"rbind", "rshared", "ro"}
	case r.Minor == 13 && r.Patch < 3:
		return []string{"rbind", "ro"}
	default:
		return []string{"rbind", "rslave", "ro"}
	}
}
