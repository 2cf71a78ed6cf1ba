// SPDX-License-Identifier: Apache-2.0

package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// modes are what an archive holds, except for the program.
var modes = map[string]int64{"LICENSE": 0o644, "NOTICE": 0o644, "THIRD_PARTY_LICENSES.txt": 0o644, "kubectl_complete-talosdisk": 0o755}

// file is a file in an archive.
type file struct {
	header  tar.Header
	content []byte
}

func checkArchives(t *testing.T, made distribution, tree string) {
	for name := range made.sums {
		t.Run(name, func(t *testing.T) {
			platform := strings.Split(strings.TrimSuffix(name, ".tar.gz"), "_")
			system, arch := platform[len(platform)-2], platform[len(platform)-1]
			program := "kubectl-talosdisk"
			if system == "windows" {
				program += ".exe"
			}
			want := maps.Clone(modes)
			want[program] = 0o755
			files := unpack(t, filepath.Join(made.dir, name))
			if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
				t.Fatalf("it has %q, want %q", got, want)
			}
			for name, mode := range want {
				h := files[name].header
				if h.Typeflag != tar.TypeReg || h.Mode != mode || h.Uname != "root" || h.Gname != "root" || h.Uid != 0 || h.Gid != 0 {
					t.Errorf("%s: type %q, mode %o, %s:%s, want a file of root with %o", name, h.Typeflag, h.Mode, h.Uname, h.Gname, mode)
				}
			}
			for _, name := range []string{"LICENSE", "NOTICE"} {
				text, err := os.ReadFile(filepath.Join(tree, name))
				if err != nil || !bytes.Equal(files[name].content, text) {
					t.Errorf("%s is another than that of the tree: %v", name, err)
				}
			}
			checkProgram(t, files[program].content, system, arch, string(files["THIRD_PARTY_LICENSES.txt"].content))
		})
	}
}

// checkProgram asks the program itself what it was built for, and what is linked into it.
func checkProgram(t *testing.T, program []byte, system, arch, licences string) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	for key, want := range map[string]string{"GOOS": system, "GOARCH": arch, "CGO_ENABLED": "0", "-trimpath": "true"} {
		if settings[key] != want {
			t.Errorf("%s is %q, want %q", key, settings[key], want)
		}
	}
	if len(info.Deps) < 20 {
		t.Errorf("only %d modules are linked", len(info.Deps))
	}
	names := []string{"Go " + strings.TrimPrefix(info.GoVersion, "go")}
	for _, module := range info.Deps {
		names = append(names, module.Path+" "+module.Version)
	}
	for _, name := range names {
		if !strings.Contains(licences, "\n"+name+": ") {
			t.Errorf("%s is linked, and its licence is not in the archive", name)
		}
	}
}

// unpack reads an archive, in which krew takes files and directories.
func unpack(t *testing.T, path string) map[string]file {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]file)
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = file{*header, content}
	}
}
