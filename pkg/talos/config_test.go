// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// credentials are a certificate of itself, as a talosconfig has them.
func credentials(t *testing.T, end time.Time, roles ...string) *clientconfig.Context {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{Organization: roles},
		NotBefore:    end.Add(-48 * time.Hour),
		NotAfter:     end,
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	crt := text("CERTIFICATE", der)
	return &clientconfig.Context{CA: crt, Crt: crt, Key: text("PRIVATE KEY", key)}
}

// store writes v as YAML, or as it is if it is text.
func store(t *testing.T, path string, v any) {
	t.Helper()
	content, ok := v.(string)
	if !ok {
		b, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		content = string(b)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// filesBelow is all files below dir with their content.
func filesBelow(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			files[path] = nil
			return err
		}
		files[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestLoad(t *testing.T) {
	end := time.Now().Add(time.Hour)
	context := func(endpoints ...string) *clientconfig.Context {
		c := credentials(t, end, "os:admin")
		c.Endpoints = endpoints
		return c
	}
	config := func(current string, contexts map[string]*clientconfig.Context) *clientconfig.Config {
		return &clientconfig.Config{Context: current, Contexts: contexts}
	}
	named := func(name string) *clientconfig.Config { // One that tells by its context which file it was.
		return config(name, map[string]*clientconfig.Context{name: context("10.0.0.1")})
	}
	for name, c := range map[string]struct {
		// files by path below a home of the test's own; HOME and flags with a leading ~ are there, too.
		files map[string]any
		env   map[string]string
		o     Options
		// want is the context, or the error's kind and parts of its text and hint.
		want      string
		endpoints []string
		kind      Kind
		says      []string
	}{
		"the flag wins": {
			files: map[string]any{"flag": named("flag"), "env": named("env"), ".talos/config": named("home")},
			env:   map[string]string{"TALOSCONFIG": "~/env"}, o: Options{Path: "~/flag"}, want: "flag",
		},
		"TALOSCONFIG before the directories": {
			files: map[string]any{"env": named("env"), "talos/config": named("talos-home"), ".talos/config": named("home")},
			env:   map[string]string{"TALOSCONFIG": "~/env", "TALOS_HOME": "~/talos"}, want: "env",
		},
		"TALOS_HOME instead of ~/.talos": {
			files: map[string]any{"talos/config": named("talos-home"), ".talos/config": named("home")},
			env:   map[string]string{"TALOS_HOME": "~/talos"}, want: "talos-home",
		},
		"a relative TALOS_HOME counts for nothing": {
			files: map[string]any{".talos/config": named("home")},
			env:   map[string]string{"TALOS_HOME": "talos"}, want: "home",
		},
		"~/.talos": {files: map[string]any{".talos/config": named("home")}, want: "home"},
		"none":     {kind: ErrNotConfigured, says: []string{"--talosconfig", "talosctl config merge"}},
		"none in TALOS_HOME": {
			files: map[string]any{".talos/config": named("home")},
			env:   map[string]string{"TALOS_HOME": "~/talos"}, kind: ErrNotConfigured,
		},
		"the empty one that talosctl makes": {
			files: map[string]any{".talos/config": "context: \"\"\ncontexts: {}\n"}, kind: ErrNotConfigured,
		},
		"the flag's is missing": {
			files: map[string]any{".talos/config": named("home")}, o: Options{Path: "~/flag"},
			kind: ErrConfig, says: []string{"/flag\"", "no such file", "--talosconfig"},
		},
		"TALOSCONFIG's is missing": {
			files: map[string]any{".talos/config": named("home")}, env: map[string]string{"TALOSCONFIG": "~/env"},
			kind: ErrConfig, says: []string{"/env\"", "no such file", "TALOSCONFIG"},
		},
		"the flag's is empty": {
			files: map[string]any{"flag": ""},
			o:     Options{Path: "~/flag"},
			kind:  ErrConfig,
			says:  []string{"no contexts"},
		},
		"a directory": {
			files: map[string]any{"flag/x": ""},
			o:     Options{Path: "~/flag"},
			kind:  ErrConfig,
			says:  []string{"is a directory"},
		},
		"not YAML": {
			files: map[string]any{".talos/config": "context: a\ncontexts: [CANARY\n"},
			kind:  ErrConfig,
			says:  []string{"see line"},
		},
		"YAML of something else": {files: map[string]any{".talos/config": "contexts: CANARY\n"}, kind: ErrConfig, says: []string{"see line 1"}},
		"a context without body": {files: map[string]any{".talos/config": "context: a\ncontexts: {a: null}\n"}, kind: ErrNotConfigured},
		"the context of the flag": {
			files:     map[string]any{".talos/config": config("a", map[string]*clientconfig.Context{"a": context("1"), "b": context("2")})},
			o:         Options{Context: "b"},
			want:      "b",
			endpoints: []string{"2"},
		},
		"an unknown context": {
			files: map[string]any{".talos/config": config("a", map[string]*clientconfig.Context{"b": context("1"), "a": context("2")})},
			o:     Options{Context: "c"},
			kind:  ErrConfig, says: []string{`no context "c"`, `"a", "b"`, "--talos-context"},
		},
		"no current context": {
			files: map[string]any{".talos/config": config("", map[string]*clientconfig.Context{"a": context("1")})},
			kind:  ErrConfig, says: []string{"no current context", `"a"`, "--talos-context"},
		},
		"no endpoints": {
			files: map[string]any{".talos/config": config("a", map[string]*clientconfig.Context{"a": context()})},
			kind:  ErrConfig, says: []string{`context "a" has no endpoints`, "--talos-endpoints", "talosctl --context a config endpoint"},
		},
		"endpoints of the flag": {
			files: map[string]any{".talos/config": config("a", map[string]*clientconfig.Context{"a": context("1")})},
			o:     Options{Endpoints: []string{"8", "9"}}, want: "a", endpoints: []string{"8", "9"},
		},
		"endpoints of the flag where there are none": {
			files: map[string]any{".talos/config": config("a", map[string]*clientconfig.Context{"a": context()})},
			o:     Options{Endpoints: []string{"9", ""}}, want: "a", endpoints: []string{"9"},
		},
		"the old name of endpoints": {
			files: map[string]any{".talos/config": config("a", map[string]*clientconfig.Context{"a": func() *clientconfig.Context {
				c := context()
				c.DeprecatedTarget = "7"
				return c
			}()})},
			want: "a", endpoints: []string{"7"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			under := func(path string) string { return strings.Replace(path, "~", home, 1) }
			for path, content := range c.files {
				store(t, filepath.Join(home, path), content)
			}
			before := filesBelow(t, home)
			c.o.Path = under(c.o.Path)
			got, err := Load(c.o, func(key string) string {
				if key == "HOME" {
					return home
				}
				return under(c.env[key])
			})
			for path, content := range filesBelow(t, home) {
				if was, there := before[path]; !there || !bytes.Equal(was, content) {
					t.Errorf("%s was made or changed", path)
				}
			}
			if c.kind != "" {
				if !errors.Is(err, c.kind) {
					t.Fatalf("error %v is not %q", err, c.kind)
				}
				text := err.Error() + "\n" + failure.Hint(err)
				for _, part := range c.says {
					if !strings.Contains(text, part) {
						t.Errorf("%q does not say %q", text, part)
					}
				}
				if strings.Contains(text, "CANARY") {
					t.Errorf("%q has content of the file", text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			identity := got.Identity()
			if identity.Context != c.want {
				t.Errorf("context is %q, want %q", identity.Context, c.want)
			}
			if c.endpoints != nil && !slices.Equal(identity.Endpoints, c.endpoints) {
				t.Errorf("endpoints are %v, want %v", identity.Endpoints, c.endpoints)
			}
		})
	}
}

func TestPlaces(t *testing.T) {
	const pod = "/var/run/secrets/talos.dev/config"
	for name, c := range map[string]struct {
		env  map[string]string
		goos string
		want []string
	}{
		"home":    {map[string]string{"HOME": "/home/me"}, "linux", []string{"/home/me/.talos/config", pod}},
		"no home": {nil, "linux", []string{pod}},
		"set":     {map[string]string{"HOME": "/home/me", "TALOS_HOME": "/talos"}, "darwin", []string{"/talos/config", pod}},
		"windows": {map[string]string{"HOME": "/home/me", "USERPROFILE": "/users/me"}, "windows", []string{"/users/me/.talos/config", pod}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := places(func(key string) string { return c.env[key] }, c.goos); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	good := credentials(t, end, "os:reader", "os:admin", "os:of-the-future", "")
	other := credentials(t, end)
	canary := base64.StdEncoding.EncodeToString([]byte("CANARY"))
	change := func(f func(*clientconfig.Context)) *clientconfig.Context {
		c := *good
		c.Endpoints = []string{"10.0.0.1"}
		f(&c)
		return &c
	}
	for name, c := range map[string]struct {
		context *clientconfig.Context
		roles   []string
		end     time.Time
		says    string
	}{
		"a certificate": {
			context: change(func(*clientconfig.Context) {}),
			roles:   []string{"os:admin", "os:of-the-future", "os:reader"},
			end:     end,
		},
		"no CA": {
			context: change(func(c *clientconfig.Context) { c.CA = "" }),
			roles:   []string{"os:admin", "os:of-the-future", "os:reader"},
			end:     end,
		},
		"signed requests": {
			context: change(func(c *clientconfig.Context) { c.Crt, c.Key, c.Auth.SideroV1 = "", "", &clientconfig.SideroV1{} }),
			end:     time.Time{},
		},
		"nothing": {
			context: change(func(c *clientconfig.Context) { c.Crt, c.Key = "", "" }),
			end:     end,
			says:    `context "me" has no client certificate`,
		},
		"a CA not base64": {
			context: change(func(c *clientconfig.Context) { c.CA = "CANARY!" }),
			end:     end,
			says:    `CA certificate of context "me" cannot be read`,
		},
		"a CA not PEM":     {context: change(func(c *clientconfig.Context) { c.CA = canary }), end: end, says: "CA certificate"},
		"no base64":        {context: change(func(c *clientconfig.Context) { c.Crt = "CANARY!" }), end: end, says: "client certificate of"},
		"a key not base64": {context: change(func(c *clientconfig.Context) { c.Key = "CANARY!" }), end: end, says: "client key"},
		"not PEM":          {context: change(func(c *clientconfig.Context) { c.Crt = canary }), end: end, says: "client certificate"},
		"a key of another": {
			context: change(func(c *clientconfig.Context) { c.Key = other.Key }),
			end:     end,
			says:    "client certificate or its key",
		},
		"the key's and crt's": {
			context: change(func(c *clientconfig.Context) { c.Key, c.Crt = c.Crt, c.Key }),
			end:     end,
			says:    "client certificate or its key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := identify("me", c.context)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v does not say %q", err, c.says)
				} else if strings.Contains(err.Error(), "CANARY") || c.context.Key != "" && strings.Contains(err.Error(), c.context.Key) {
					t.Errorf("error %v has what it is about", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Roles, c.roles) || !got.NotAfter.Equal(c.end) || got.Context != "me" ||
				!slices.Equal(got.Endpoints, []string{"10.0.0.1"}) {
				t.Errorf("got %+v", got)
			}
			if !c.end.IsZero() && (got.Expired(c.end.Add(-time.Second)) || !got.Expired(c.end.Add(time.Second))) {
				t.Error("Expired is wrong about the certificate's end")
			}
			if c.end.IsZero() && got.Expired(time.Now()) {
				t.Error("what has no certificate has expired")
			}
		})
	}
}
