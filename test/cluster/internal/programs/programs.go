// SPDX-License-Identifier: Apache-2.0

// Package programs gets what a cluster is made of: Kubernetes as one binary, a
// kubectl, the supervisor, the pause image, and Debian's packages.
//
// What takes minutes to build is kept in the cache, in a directory whose name
// tells the Kubernetes version, the Go version and the dependencies apart.
package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// module is the Go module that the programs are built from.
const module = "github.com/talosdisk/kubectl-talosdisk/test"

// Programs is where they are.
type Programs struct {
	// Dir holds them all.
	Dir string
	// Version is that of Kubernetes, with its v.
	Version string
}

// Hyper is etcd and all of Kubernetes in one binary: its first argument, or
// the name it is called by, says which.
func (p Programs) Hyper() string { return filepath.Join(p.Dir, "hyper") }

// Kubectl is a kubectl without anything else in it.
func (p Programs) Kubectl() string { return filepath.Join(p.Dir, "kubectl") }

// Clusterd is the supervisor and the nodes' init.
func (p Programs) Clusterd() string { return filepath.Join(p.Dir, "clusterd") }

// PauseImage is the archive of the image that keeps a pod's namespaces.
func (p Programs) PauseImage() string { return filepath.Join(p.Dir, "pause.tar") }

// Build makes sure that all programs are there, building what is missing or,
// for the small ones, changed. It says on progress what takes time.
//
// It must run inside the module that has them, which is where tests run.
func Build(ctx context.Context, cache string, progress io.Writer) (Programs, error) {
	var p Programs
	source, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return p, fmt.Errorf("find the module %s (is the working directory in it?): %w", module, err)
	}
	if p.Version, err = goCommand(ctx, source, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"); err != nil {
		return p, err
	}
	key, err := cacheKey(ctx, source, p.Version)
	if err != nil {
		return p, err
	}
	p.Dir = filepath.Join(cache, "programs", p.Version+"-"+key)
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return p, err
	}
	flags := versionFlags(p.Version)
	large := []struct{ name, pkg, cost string }{
		{"hyper", module + "/cmd/hyper", "6 to 15 minutes on 2 cores the first time"},
		{"kubectl", module + "/cmd/kubectl", "under a minute after hyper"},
	}
	for _, program := range large {
		target := filepath.Join(p.Dir, program.name)
		if _, err := os.Stat(target); err == nil {
			continue
		}
		fmt.Fprintf(progress, "building %s %s (%s)\n", program.name, p.Version, program.cost)
		start := time.Now()
		if err := build(ctx, source, target, program.pkg, flags); err != nil {
			return p, err
		}
		fmt.Fprintf(progress, "built %s in %s\n", target, time.Since(start).Round(time.Second))
	}
	if err := build(ctx, source, p.Clusterd(), module+"/cluster/cmd/clusterd", "-s -w"); err != nil {
		return p, err
	}
	pause := filepath.Join(p.Dir, "pause")
	if err := build(ctx, source, pause, module+"/cluster/cmd/pause", "-s -w"); err != nil {
		return p, err
	}
	return p, writeImage(p.PauseImage(), PauseImageName, pause)
}

// cacheKey changes with everything that a large program is built from.
func cacheKey(ctx context.Context, source, version string) (string, error) {
	goVersion, err := goCommand(ctx, source, "env", "GOVERSION", "GOARCH")
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintln(hash, version, goVersion)
	for _, name := range []string{"go.sum", "cmd/hyper/main.go", "cmd/kubectl/main.go"} {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(hash, name, len(data))
		hash.Write(data)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// versionFlags give the programs their version, which would otherwise be that
// of an unreleased tree.
func versionFlags(version string) string {
	flags := []string{"-s", "-w"}
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags, "-X", pkg+".gitVersion="+version)
		if len(parts) == 3 {
			flags = append(flags, "-X", pkg+".gitMajor="+parts[0], "-X", pkg+".gitMinor="+parts[1])
		}
	}
	return strings.Join(flags, " ")
}

// build writes the program in one step, so that an interrupted build is not
// taken for a finished one.
func build(ctx context.Context, source, target, pkg, ldflags string) error {
	temporary := fmt.Sprintf("%s.%d", target, os.Getpid())
	defer os.Remove(temporary)
	if _, err := goCommand(ctx, source, "build", "-trimpath", "-ldflags", ldflags, "-o", temporary, pkg); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return os.Rename(temporary, target)
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", errors.Join(fmt.Errorf("go %s: %w", args[0], err), trimmed(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// trimmed keeps the end of a program's output, where the reason is.
func trimmed(output string) error {
	output = strings.TrimSpace(output)
	if output == "" {
		return nil
	}
	const limit = 2000
	if len(output) > limit {
		output = "..." + output[len(output)-limit:]
	}
	return errors.New(output)
}
