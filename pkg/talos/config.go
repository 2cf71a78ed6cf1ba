// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
)

// Options are the flags that choose a talosconfig and what is used of it.
type Options struct {
	// Path is --talosconfig; empty: where talosctl looks.
	Path string
	// Context is --talos-context; empty: the file's current one.
	Context string
	// Endpoints are --talos-endpoints; none: the context's.
	Endpoints []string
}

// Asked reports whether a person asked for the Talos API, rather than that it is used where it happens to be at hand.
func (o Options) Asked() bool { return o.Path != "" || o.Context != "" || len(o.Endpoints) > 0 }

// Config is one context of a talosconfig: how to reach a cluster's Talos API, and
// as whom.
type Config struct {
	path     string
	file     *clientconfig.Config
	identity Identity
}

// Load reads the talosconfig that o and the environment choose, where talosctl
// would find it (machinery's client/config/path.go, v1.13), but makes no file where
// there is none. ErrNotConfigured: there is no talosconfig, and none was asked for.
func Load(o Options, env func(string) string) (*Config, error) {
	path, asked, err := find(o, env)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, unusable(path, reason(err), "")
	}
	file, err := parse(path, content)
	if err != nil {
		return nil, err
	}
	if len(file.Contexts) == 0 {
		if !asked { // talosctl makes such a file when it finds none.
			return nil, notConfigured()
		}
		return nil, unusable(path, "it has no contexts",
			shell.Command("talosctl", "--talosconfig", path, "config", "merge", "ANOTHER-TALOSCONFIG"))
	}
	name := cmp.Or(o.Context, file.Context)
	contexts := "it has " + quoted(slices.Sorted(maps.Keys(file.Contexts)))
	context := file.Contexts[name]
	switch {
	case name == "":
		return nil, unusable(path, "it has no current context; "+contexts, "choose one with --talos-context")
	case context == nil:
		return nil, unusable(path, fmt.Sprintf("it has no context %q; %s", name, contexts), "choose one with --talos-context")
	}
	if len(o.Endpoints) > 0 {
		context.Endpoints = o.Endpoints
	}
	context.Endpoints = slices.DeleteFunc(slices.Clone(context.Endpoints), func(e string) bool { return strings.TrimSpace(e) == "" })
	if len(context.Endpoints) == 0 {
		return nil, unusable(path, fmt.Sprintf("context %q has no endpoints", name),
			"name control-plane nodes with --talos-endpoints, or for good with: "+shell.Command("talosctl", "--context", name, "config", "endpoint")+
				" ADDRESS…")
	}
	identity, err := identify(name, context)
	if err != nil {
		return nil, unusable(path, err.Error(), "")
	}
	return &Config{path: path, file: file, identity: identity}, nil
}

// find returns the path of the talosconfig, and whether somebody asked for just
// that one.
func find(o Options, env func(string) string) (path string, asked bool, err error) {
	for _, explicit := range []struct{ path, from string }{
		{o.Path, "--talosconfig"},
		{env(constants.TalosConfigEnvVar), "$" + constants.TalosConfigEnvVar},
	} {
		if explicit.path == "" {
			continue
		}
		if _, err := os.Stat(explicit.path); err != nil {
			return "", true, unusable(explicit.path, reason(err), "it was named by "+explicit.from)
		}
		return explicit.path, true, nil
	}
	for _, path := range places(env, runtime.GOOS) {
		if _, err := os.Stat(path); err == nil {
			return path, false, nil
		}
	}
	return "", false, notConfigured()
}

// places are where a talosconfig is looked for that nobody named.
func places(env func(string) string, goos string) []string {
	var places []string
	dir := env(constants.TalosHomeEnvVar) // Talos v1.12 and later
	if !filepath.IsAbs(dir) {
		dir = ""
		home := env("HOME")
		if goos == "windows" {
			home = env("USERPROFILE")
		}
		if home != "" {
			dir = filepath.Join(home, constants.TalosDir)
		}
	}
	if dir != "" {
		places = append(places, filepath.Join(dir, constants.TalosconfigFilename))
	}
	// A pod's, where Talos serves Kubernetes.
	return append(places, filepath.Join(constants.ServiceAccountMountPath, constants.TalosconfigFilename))
}

// parse reads the file's YAML. Machinery's own reader panics on a context without
// a body, and the text of YAML errors quotes what it could not read, keys included.
func parse(path string, content []byte) (*clientconfig.Config, error) {
	file := &clientconfig.Config{}
	if err := yaml.Unmarshal(content, file); err != nil {
		why := "it is not the YAML of a talosconfig"
		if line := yamlLine.FindString(err.Error()); line != "" {
			why += ": see " + line
		}
		return nil, unusable(path, why, "")
	}
	maps.DeleteFunc(file.Contexts, func(_ string, c *clientconfig.Context) bool { return c == nil })
	for _, c := range file.Contexts {
		if c.DeprecatedTarget != "" {
			c.Endpoints, c.DeprecatedTarget = append(c.Endpoints, c.DeprecatedTarget), ""
		}
	}
	return file, nil
}

var yamlLine = regexp.MustCompile(`\bline \d+\b`)

func notConfigured() error {
	return &Error{Kind: ErrNotConfigured, err: failure.New("no talosconfig was found",
		"name one with --talosconfig or TALOSCONFIG, or put it in its place with: talosctl config merge FILE")}
}

func unusable(path, why, hint string) error {
	if hint == "" {
		hint = "see what it has with: " + shell.Command("talosctl", "--talosconfig", path, "config", "info")
	}
	return &Error{Kind: ErrConfig, err: failure.New(fmt.Sprintf("talosconfig %q cannot be used: %s", path, why), hint)}
}

// reason is what the operating system says, without the path.
func reason(err error) string {
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		err = pathError.Err
	}
	return err.Error()
}
