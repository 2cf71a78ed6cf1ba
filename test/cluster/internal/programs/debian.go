// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// CNIDir is where Debian's containernetworking-plugins lie.
const CNIDir = "/usr/lib/cni"

// need is a file and the Debian package that it comes in.
type need struct{ file, pkg string }

func needs() []need {
	return []need{
		{"containerd", "containerd"},
		{"ctr", "containerd"},
		{"runc", "runc"},
		{filepath.Join(CNIDir, "bridge"), "containernetworking-plugins"},
		{"sfdisk", "fdisk"},
		{"mkfs.ext4", "e2fsprogs"},
		{"mkfs.xfs", "xfsprogs"},
		{"ip", "iproute2"},
		{"nsenter", "util-linux"},
		{"losetup", "mount"},
	}
}

// Missing returns the Debian packages whose programs are not on the machine.
func Missing() []string {
	var missing []string
	seen := make(map[string]bool)
	for _, n := range needs() {
		if !have(n.file) && !seen[n.pkg] {
			seen[n.pkg] = true
			missing = append(missing, n.pkg)
		}
	}
	return missing
}

// have looks in sbin too, which is not in everybody's PATH.
func have(file string) bool {
	if filepath.IsAbs(file) {
		_, err := os.Stat(file)
		return err == nil
	}
	if _, err := exec.LookPath(file); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return true
		}
	}
	return false
}

// Install installs packages with apt-get. No service is started: the cluster
// runs its own containerd.
func Install(ctx context.Context, packages []string, progress io.Writer) error {
	if len(packages) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install %s: this machine has no apt-get", strings.Join(packages, " "))
	}
	fmt.Fprintf(progress, "installing %s\n", strings.Join(packages, " "))
	install := append([]string{"install", "--yes", "--no-install-recommends"}, packages...)
	if err := apt(ctx, install); err == nil {
		return nil
	}
	// The index may be missing or too old.
	if err := apt(ctx, []string{"update"}); err != nil {
		return err
	}
	return apt(ctx, install)
}

func apt(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet"}, args...)...)
	// RUNLEVEL=1 is what invoke-rc.d goes by when there is no policy-rc.d.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("apt-get %s: %w", args[0], err), trimmed(string(out)))
	}
	return nil
}
