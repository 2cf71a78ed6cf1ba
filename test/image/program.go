// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

const (
	programPackage = "github.com/talosdisk/kubectl-talosdisk/test/standin/cmd/provisioner"
	// programPath is where the real image has its program.
	programPath = "/local-provisioner"
)

// scripts are the block cleaners that the chart's values name.
//
//go:embed scripts
var scripts embed.FS

// compile builds the stand-in. The file stays in the cache, so that the go
// command does not link again what has not changed.
func compile(ctx context.Context, dir string, log io.Writer) (string, error) {
	binary := filepath.Join(dir, "provisioner")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, programPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cannot build the stand-in provisioner: %w", err)
	}
	return binary, nil
}

// programLayer holds the stand-in and its block cleaners.
func programLayer(dir, binary string) (layer, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return layer{}, err
	}
	files := map[string][]byte{}
	names := []string{}
	made := []string{digest(program)}
	err = fs.WalkDir(scripts, "scripts", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		names = append(names, name)
		files[name], err = scripts.ReadFile(name)
		made = append(made, name, digest(files[name]))
		return err
	})
	if err != nil {
		return layer{}, err
	}
	tarPath, err := cached(dir, "program", key(made), func(w io.Writer) error {
		archive := tar.NewWriter(w)
		if err := addFile(archive, path.Base(programPath), program); err != nil {
			return err
		}
		if err := addDir(archive, "scripts"); err != nil {
			return err
		}
		for _, name := range names {
			if err := addFile(archive, name, files[name]); err != nil {
				return err
			}
		}
		return archive.Close()
	})
	if err != nil {
		return layer{}, err
	}
	return openLayer(tarPath)
}
