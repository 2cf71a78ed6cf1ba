// SPDX-License-Identifier: Apache-2.0

package version

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestInfo(t *testing.T) {
	stamped := &debug.BuildInfo{
		Main:     debug.Module{Version: "v0.3.0"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}},
	}
	for name, c := range map[string]struct {
		got, want Info
	}{
		"linker":    {info("v1.0.0", "def", "today", stamped), Info{Version: "v1.0.0", Commit: "def", Date: "today"}},
		"toolchain": {info("", "", "", stamped), Info{Version: "v0.3.0", Commit: "abc", Date: "2026-01-02T03:04:05Z"}},
		"neither":   {info("", "", "", &debug.BuildInfo{}), Info{Version: "(devel)", Commit: "unknown", Date: "unknown"}},
	} {
		c.want.GoVersion, c.want.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
		if c.got != c.want {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
}
