// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"strconv"
)

// Size is a number of bytes for people, in binary units as Kubernetes writes them: 512Mi, 60Gi, 1.8Ti. The unit is the
// largest of which there is at least one; below 10 there is one decimal unless it is 0. It is rounded down, so that it
// never shows more than there is. Exact numbers belong into JSON.
func Size(bytes uint64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	shift, unit := 0, 0
	for unit < len(units)-1 && bytes>>(shift+10) > 0 {
		shift, unit = shift+10, unit+1
	}
	whole := bytes >> shift
	// The fraction is below 1<<60, so ten times it still fits.
	if tenths := (bytes - whole<<shift) * 10 >> shift; unit > 0 && whole < 10 && tenths > 0 {
		return fmt.Sprintf("%d.%d%s", whole, tenths, units[unit])
	}
	return strconv.FormatUint(whole, 10) + units[unit]
}
