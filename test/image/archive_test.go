// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// list returns one line for each member of a tar: type, mode, name, target,
// content.
func list(t *testing.T, content []byte) []string {
	t.Helper()
	var lines []string
	archive := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		must(t, err)
		if !header.ModTime.IsZero() && header.ModTime.Unix() != 0 {
			t.Errorf("%s has a time, %s", header.Name, header.ModTime)
		}
		text, err := io.ReadAll(archive)
		must(t, err)
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%c %o %s %s%s", header.Typeflag, header.Mode, header.Name, header.Linkname, text)))
	}
}

func TestWriteTree(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	must(t, os.MkdirAll(at("usr/share/doc/pkg"), 0o755))
	must(t, os.WriteFile(at("usr/share/doc/pkg/copyright"), nil, 0o644))
	must(t, os.WriteFile(at("usr/su"), []byte("setuid"), 0o755))
	must(t, os.Chmod(at("usr/su"), 0o755|os.ModeSetuid))
	must(t, os.Link(at("usr/su"), at("usr/su2")))
	must(t, os.Symlink("usr", at("bin")))

	var out bytes.Buffer
	must(t, writeTree(&out, root, []string{"usr/share/doc/*"}))
	want := []string{
		"2 777 bin usr",
		"5 755 usr/",
		"5 755 usr/share/",
		"5 755 usr/share/doc/",
		"0 4755 usr/su setuid",
		"1 4755 usr/su2 usr/su",
	}
	if got := list(t, out.Bytes()); !slices.Equal(got, want) {
		t.Errorf("writeTree\n got %q\nwant %q", got, want)
	}
}

func TestWriteArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layer")
	must(t, os.WriteFile(path, []byte("content"), 0o644))
	shared, err := openLayer(path)
	must(t, err)
	// The SHA-256 sum of "content".
	const sum = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
	if shared.digest != sum || shared.size != 7 {
		t.Fatalf("openLayer = %+v, want digest %s and size 7", shared, sum)
	}

	var out bytes.Buffer
	must(t, writeArchive(&out, []image{
		{name: "a.test/a:1", layers: []layer{shared}, path: "/bin", entrypoint: []string{"/a"}},
		{name: "a.test/b:1", layers: []layer{shared}, path: "/bin", command: []string{"sh"}},
	}))
	files := map[string]string{}
	for _, line := range list(t, out.Bytes()) {
		fields := strings.SplitN(line, " ", 4)
		if _, ok := files[fields[2]]; ok {
			t.Errorf("%s is written twice", fields[2])
		}
		files[fields[2]] = fields[3]
	}
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	must(t, json.Unmarshal([]byte(files["manifest.json"]), &manifest))
	if len(manifest) != 2 || manifest[1].RepoTags[0] != "a.test/b:1" {
		t.Fatalf("manifest = %+v", manifest)
	}
	for i, want := range []string{
		`"config":{"Env":["PATH=/bin"],"Entrypoint":["/a"]},"rootfs":{"type":"layers","diff_ids":["sha256:` + sum + `"]}`,
		`"config":{"Env":["PATH=/bin"],"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:` + sum + `"]}`,
	} {
		m := manifest[i]
		if files[m.Layers[0]] != "content" {
			t.Errorf("%s: layer %s holds %q", m.RepoTags, m.Layers[0], files[m.Layers[0]])
		}
		if !strings.Contains(files[m.Config], want) {
			t.Errorf("%s: config %s, want %s in it", m.RepoTags, files[m.Config], want)
		}
	}
}

func TestCached(t *testing.T) {
	dir := t.TempDir()
	makes := 0
	get := func(key string, fail error) (string, error) {
		return cached(dir, "kind", key, func(w io.Writer) error {
			makes++
			_, err := io.WriteString(w, key)
			return errors.Join(err, fail)
		})
	}
	first, err := get("1", nil)
	must(t, err)
	again, err := get("1", nil)
	if err != nil || again != first || makes != 1 {
		t.Errorf("the second time: %s, %v, made %d times", again, err, makes)
	}
	if _, err := get("2", errors.New("broken")); err == nil {
		t.Error("a failed build returned no error")
	}
	if text, err := os.ReadFile(first); err != nil || string(text) != "1" {
		t.Errorf("a failed build removed the older file: %q, %v", text, err)
	}
	_, err = get("2", nil)
	must(t, err)
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "kind-2.tar" {
		t.Errorf("left in the directory: %v, want kind-2.tar alone", entries)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
