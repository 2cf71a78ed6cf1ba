// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// On the node, an equal WWID counts unless it is none, or a size or a serial number contradicts.
func TestOtherPathsOnTheNode(t *testing.T) {
	functions, _, _ := strings.Cut(performSteps, "\nGATE=\n")
	for name, c := range map[string]struct{ wwid, mine, other, want string }{
		"another path":           {"naa.5000c500a1b2c3d4", "8 S", "8 S", "/mnt/x"},
		"only the WWID":          {"naa.5000c500a1b2c3d4", "8 ", "8 ", "/mnt/x"},
		"another serial":         {"naa.5000c500a1b2c3d4", "8 S", "8 T", ""},
		"another size":           {"naa.5000c500a1b2c3d4", "8 S", "9 S", ""},
		"zeros":                  {"naa.0000000000000000", "8 ", "8 ", ""},
		"nothing behind the dot": {"t10.", "8 ", "8 ", ""},
	} {
		stubs := `
			wwid() { V=$WWID; }
			number() { V=$((0x${1%%:*})):$((0x${1#*:})); }
			readfile() {
				V=
				case $1 in
				/sys/dev/block/8:16/size) V=${MINE% *} ;;
				/sys/dev/block/8:16/serial) V=${MINE#* } ;;
				/sys/dev/block/8:32/size) V=${OTHER% *} ;;
				/sys/dev/block/8:32/serial) V=${OTHER#* } ;;
				esac
			}
			device=/dev/sdb
			S='8:20 /mnt/x'
			others 8:16
			printf %s "$O"`
		cmd := exec.Command("sh", "-c", functions+stubs)
		cmd.Env = append(os.Environ(), "WWID="+c.wwid, "MINE="+c.mine, "OTHER="+c.other)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != c.want {
			t.Errorf("%s: %q, %v; want %q", name, out, err, c.want)
		}
	}
}
