// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// layer is an uncompressed tar file and its digest.
type layer struct {
	path   string
	digest string // hex of the SHA-256 sum
	size   int64
}

func openLayer(path string) (layer, error) {
	file, err := os.Open(path)
	if err != nil {
		return layer{}, err
	}
	defer file.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return layer{}, err
	}
	return layer{path: path, digest: hex.EncodeToString(sum.Sum(nil)), size: size}, nil
}

// image is what goes into an archive under one name.
type image struct {
	name       string
	layers     []layer
	path       string // of the environment
	entrypoint []string
	command    []string
}

// config is the image's configuration in the form of the OCI and of Docker.
func (i image) config() ([]byte, error) {
	type (
		process struct {
			Env        []string
			Entrypoint []string `json:",omitempty"`
			Cmd        []string `json:",omitempty"`
		}
		rootfs struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		}
	)
	diffs := []string{}
	for _, l := range i.layers {
		diffs = append(diffs, "sha256:"+l.digest)
	}
	return json.Marshal(struct {
		Architecture string  `json:"architecture"`
		OS           string  `json:"os"`
		Config       process `json:"config"`
		RootFS       rootfs  `json:"rootfs"`
	}{
		Architecture: runtime.GOARCH, OS: "linux",
		Config: process{Env: []string{"PATH=" + i.path}, Entrypoint: i.entrypoint, Cmd: i.command},
		RootFS: rootfs{Type: "layers", DiffIDs: diffs},
	})
}

// writeArchive writes images in the form of `docker save`.
func writeArchive(w io.Writer, images []image) error {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	archive := tar.NewWriter(w)
	var manifest []entry
	written := map[string]bool{}
	for _, i := range images {
		config, err := i.config()
		if err != nil {
			return fmt.Errorf("cannot describe %s: %w", i.name, err)
		}
		e := entry{Config: fmt.Sprintf("%x.json", sha256.Sum256(config)), RepoTags: []string{i.name}}
		if err := addFile(archive, e.Config, config); err != nil {
			return err
		}
		for _, l := range i.layers {
			name := l.digest + "/layer.tar"
			e.Layers = append(e.Layers, name)
			if written[name] {
				continue
			}
			written[name] = true
			if err := addLayer(archive, name, l); err != nil {
				return err
			}
		}
		manifest = append(manifest, e)
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := addFile(archive, "manifest.json", text); err != nil {
		return err
	}
	return archive.Close()
}

func addLayer(archive *tar.Writer, name string, l layer) error {
	file, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: l.size}); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}

func addDir(archive *tar.Writer, name string) error {
	mode := int64(0o755)
	if name == "tmp" {
		mode = 0o1777
	}
	return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode})
}

func addFile(archive *tar.Writer, name string, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

func addLink(archive *tar.Writer, name, target string) error {
	return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
}

// hardLinks maps an inode to the name it was written under.
type hardLinks map[uint64]string

// addPath writes one file, directory or link of a tree with its owner and
// mode and without its times.
func addPath(archive *tar.Writer, links hardLinks, path, name string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	target := ""
	if info.Mode()&os.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return fmt.Errorf("cannot pack %s: %w", path, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("cannot pack %s: its owner is unknown", path)
	}
	clean := tar.Header{
		Typeflag: header.Typeflag, Name: filepath.ToSlash(name), Linkname: header.Linkname,
		Mode: header.Mode, Uid: int(stat.Uid), Gid: int(stat.Gid), Size: header.Size,
	}
	if info.IsDir() {
		clean.Name += "/"
	}
	regular := info.Mode().IsRegular()
	if first, ok := links[stat.Ino]; regular && ok {
		clean.Typeflag, clean.Linkname, clean.Size = tar.TypeLink, first, 0
	}
	if err := archive.WriteHeader(&clean); err != nil {
		return fmt.Errorf("cannot pack %s: %w", path, err)
	}
	if clean.Typeflag != tar.TypeReg {
		return nil
	}
	if stat.Nlink > 1 {
		links[stat.Ino] = clean.Name
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(archive, file)
	return err
}
