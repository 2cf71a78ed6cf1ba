// SPDX-License-Identifier: Apache-2.0

// Package version says which build of the program this is.
package version

import (
	"runtime"
	"runtime/debug"
)

// Set by the linker in releases: -X github.com/talosdisk/kubectl-talosdisk/internal/version.version=v1.2.3
var version, commit, date string

// Info is one build. Fields that the build does not know are "unknown".
type Info struct {
	// Version is a semantic version with its v, or "(devel)".
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Date is the time of the commit, RFC 3339.
	Date      string `json:"date"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// Get returns what the linker set, or else what the Go toolchain recorded.
func Get() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return info(version, commit, date, build)
}

func info(version, commit, date string, build *debug.BuildInfo) Info {
	set := func(v *string, to string) {
		if *v == "" {
			*v = to
		}
	}
	set(&version, build.Main.Version)
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			set(&commit, s.Value)
		case "vcs.time":
			set(&date, s.Value)
		}
	}
	set(&version, "(devel)")
	set(&commit, "unknown")
	set(&date, "unknown")
	return Info{Version: version, Commit: commit, Date: date, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}
