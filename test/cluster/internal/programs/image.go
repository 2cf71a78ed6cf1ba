// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
)

// PauseImageName is what containerd is told to keep pods with.
const PauseImageName = "localhost/pause:test"

// writeImage packs one static program as an image archive, in the layout of
// docker save, which every containerd imports.
func writeImage(target, name, program string) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	if err := writeTar(&layer, entry{"pause", 0o755, binary}); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/pause"}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer.Bytes())}},
	})
	if err != nil {
		return err
	}
	configName := digest(config) + ".json"
	manifest, err := json.Marshal([]map[string]any{{
		"Config":   configName,
		"RepoTags": []string{name},
		"Layers":   []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	var image bytes.Buffer
	if err := writeTar(&image,
		entry{"manifest.json", 0o644, manifest},
		entry{configName, 0o644, config},
		entry{"layer.tar", 0o644, layer.Bytes()},
	); err != nil {
		return err
	}
	temporary := fmt.Sprintf("%s.%d", target, os.Getpid())
	if err := os.WriteFile(temporary, image.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, target)
}

type entry struct {
	name string
	mode int64
	data []byte
}

func writeTar(to *bytes.Buffer, entries ...entry) error {
	w := tar.NewWriter(to)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := w.Write(e.data); err != nil {
			return err
		}
	}
	return w.Close()
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
