// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree writes files and returns the directory that they are in.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDocument(t *testing.T) {
	one := tree(t, map[string]string{
		"LICENSE": "Be kind.\n", "NOTICE": "By One.\n", "license.go": "package one", "a/a.go": "package a",
		"a/forked/COPYING": "Be kind.\r\n", "a/forked/b/b.go": "package b", "unlinked/LICENSE": "Pay.\n",
	})
	two := tree(t, map[string]string{"License.md": "Be kind.\n", "two.go": "package two"})
	got, err := document([]component{
		{name: "example.com/one v1.0.0", root: one, packages: []string{filepath.Join(one, "a", "forked", "b"), filepath.Join(one, "a")}},
		{name: "example.com/two v2.0.0", root: two, packages: []string{two}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := head + heavy +
		"example.com/one v1.0.0: LICENSE\nexample.com/one v1.0.0: a/forked/COPYING\nexample.com/two v2.0.0: License.md\n" + light +
		"\nBe kind.\n" + heavy + "example.com/one v1.0.0: NOTICE\n" + light + "\nBy One.\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDocumentRefuses(t *testing.T) {
	bare := tree(t, map[string]string{"bare.go": "package bare", "below/LICENSE": "Be kind.\n"})
	for name, test := range map[string]struct {
		component component
		want      string
	}{
		"what has no licence": {component: component{name: "bare v1", root: bare, packages: []string{bare}}, want: `"bare v1" has no licence`},
		"what lies elsewhere": {component: component{name: "bare v1", root: bare, packages: []string{filepath.Dir(bare)}}, want: "is not below"},
		"what cannot be found": {
			component: component{name: "gone v1", root: filepath.Join(bare, "gone"), packages: []string{filepath.Join(bare, "gone")}},
			want:      "no such file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := document([]component{test.component}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestLinked looks at what the program links: modules with the licences of what they took over, those of one system only, Go.
func TestLinked(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	components, err := linked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := document(components)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nGo 1.", "\nk8s.io/client-go v", ": third_party/forked/golang/LICENSE\n", "\ngithub.com/siderolabs/talos/pkg/machinery v",
		"\ngithub.com/inconshreveable/mousetrap v", "Mozilla Public License Version 2.0", "Copyright 2009 The Go Authors",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	for _, c := range components {
		if strings.Contains(got, c.root) {
			t.Errorf("it has the path %s of this machine in it", c.root)
		}
	}
}
