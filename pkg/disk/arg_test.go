// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"path"
	"strings"
	"testing"
)

func TestParseArg(t *testing.T) {
	for in, want := range map[string]Arg{
		"vdf":                {Name: "vdf"},
		"/dev/vdf":           {Name: "vdf"},
		"nvme0n1":            {Name: "nvme0n1"},
		"cciss!c0d0":         {Name: "cciss!c0d0"},
		"vd..a":              {Name: "vd..a"},
		"disk":               {Name: "disk"},
		"vd*":                {Glob: "vd*"},
		"/dev/vd[b-d]":       {Glob: "vd[b-d]"},
		"*":                  {Glob: "*"},
		"vd?":                {Glob: "vd?"},
		"[sv]d[a-z]":         {Glob: "[sv]d[a-z]"},
		"/dev/disk/by-id/a":  {Path: "/dev/disk/by-id/a"},
		"/dev/disk/by-id/x@": {Path: "/dev/disk/by-id/x@"},
		"/dev/disk/by-path/pci-0000:00:1f.2-ata-1": {Path: "/dev/disk/by-path/pci-0000:00:1f.2-ata-1"},
		"/dev/disk/by-partlabel/r-data":            {Path: "/dev/disk/by-partlabel/r-data"},
		"/dev/mapper/mpatha":                       {Path: "/dev/mapper/mpatha"},
	} {
		got, err := ParseArg(in)
		if err != nil || got != want {
			t.Errorf("ParseArg(%q) = %+v, %v; want %+v", in, got, err, want)
		}
		if got.String() != strings.TrimPrefix(in, "/dev/") && got.String() != in {
			t.Errorf("ParseArg(%q).String() = %q", in, got.String())
		}
	}
}

func TestParseArgRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "is empty",
		"/dev/":                       "character",
		"/":                           "neither a name in /dev",
		"/dev":                        "neither a name in /dev",
		"..":                          "character",
		".":                           "character",
		".hidden":                     "character",
		"-rf":                         "character",
		"--":                          "character",
		"/dev/-x":                     "character",
		"../etc/passwd":               "neither a name in /dev",
		"/dev/../etc/passwd":          "neither a name in /dev",
		"/etc/passwd":                 "neither a name in /dev",
		"mapper/x":                    "neither a name in /dev",
		"/dev/mapper/":                "neither a name in /dev",
		"/dev/mapper/.x":              "neither a name in /dev",
		"/dev/mapper/a/b":             "neither a name in /dev",
		"/dev/mapper/a b":             "neither a name in /dev",
		"/dev//vda":                   "neither a name in /dev",
		"$(reboot)":                   "character",
		"`reboot`":                    "character",
		"a;b":                         "character",
		"a'b":                         "character",
		`a"b`:                         "character",
		`a\b`:                         "character",
		"a b":                         "character",
		"a\tb":                        "character",
		"a\nb":                        "character",
		"vdb\n":                       "character",
		"a\x00b":                      "character",
		"a\x1fb":                      "character",
		"a&b":                         "character",
		"a|b":                         "character",
		"a>b":                         "character",
		"a{b,c}":                      "character",
		"~root":                       "character",
		"a%b":                         "character",
		"vdé":                         "character",
		"vd\xff":                      "character",
		"*;reboot":                    "character",
		"* *":                         "character",
		".*":                          "character",
		"-*":                          "character",
		"vd[":                         "malformed",
		"vd[a":                        "malformed",
		"vd[]a]":                      "malformed",
		"vd[a-]":                      "malformed",
		"vd[^a]":                      "negated",
		"vd^*":                        "negated",
		"vd[!a]":                      "negated",
		"vd[[:alpha:]]":               "class inside a class",
		"vd[a[:digit:]]":              "class inside a class",
		"vd[[.a.]]":                   "class inside a class",
		"/dev/disk/by-diskseq/1":      "by-diskseq",
		"/dev/disk/by-id/":            "is not a path like",
		"/dev/disk/by-id":             "is not a path like",
		"/dev/disk/":                  "is not a path like",
		"/dev/disk//x":                "is not a path like",
		"/dev/disk/by-id/..":          "is not a path like",
		"/dev/disk/by-id/.x":          "is not a path like",
		"/dev/disk/by-id/-x":          "is not a path like",
		"/dev/disk/../sda":            "is not a path like",
		"/dev/disk/by-id/../../sda":   "is not a path like",
		"/dev/disk/by-id/a/b":         "is not a path like",
		"/dev/disk/by-id/*":           "is not a path like",
		"/dev/disk/by-id/a b":         "is not a path like",
		"/dev/disk/by-id/a\nb":        "is not a path like",
		"/dev/disk/by-id/a$b":         "is not a path like",
		"/dev/disk/by-id/a'b":         "is not a path like",
		`/dev/disk/by-id/usb-A\x20B`:  "is not a path like",
		"/dev/disk/-by/x":             "is not a path like",
		"/dev/disk/by-id;reboot/name": "is not a path like",
	} {
		got, err := ParseArg(in)
		if err == nil {
			t.Errorf("ParseArg(%q) = %+v, want an error", in, got)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("ParseArg(%q): %q does not say %q", in, err, want)
		}
		if got != (Arg{}) {
			t.Errorf("ParseArg(%q) returns %+v with its error", in, got)
		}
	}
}

func TestCheckEntry(t *testing.T) {
	for _, name := range []string{"vdf", "pci-0000:00:0a.0", "wwn-0x5000", "a@b=c,d#e~f%g", strings.Repeat("a", 255)} {
		if err := CheckEntry(name); err != nil {
			t.Errorf("CheckEntry(%q): %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", ".x", "-x", "a/b", "a b", "a\nb", "a\x1fb", "a\x00", "$x", "a*", "é",
		strings.Repeat("a", 256)} {
		if CheckEntry(name) == nil {
			t.Errorf("CheckEntry(%q) takes it", name)
		}
	}
}

func TestEntry(t *testing.T) {
	d := Disk{Name: "vdb"}
	for in, want := range map[string]string{"vdb": "vdb", "vd*": "vdb", "/dev/disk/by-id/virtio-1": "virtio-1"} {
		arg, err := ParseArg(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := arg.Entry(d); got != want {
			t.Errorf("the link for %q is called %q, want %q", in, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	disk := Disk{Name: "sdb", Kind: KindDisk, Size: 1}
	for name, c := range map[string]struct {
		arg  Arg
		disk Disk
		want bool
	}{
		"glob":             {Arg{Glob: "sd*"}, disk, true},
		"glob of others":   {Arg{Glob: "vd*"}, disk, false},
		"class":            {Arg{Glob: "sd[a-c]"}, disk, true},
		"a name is none":   {Arg{Name: "sdb"}, disk, false},
		"a path is none":   {Arg{Path: "/dev/disk/by-id/x"}, disk, false},
		"no partitions":    {Arg{Glob: "sd*"}, Disk{Name: "sdb1", Kind: KindPartition, Size: 1}, false},
		"no empty devices": {Arg{Glob: "loop*"}, Disk{Name: "loop3", Kind: KindLoop}, false},
		"loops with files": {Arg{Glob: "loop*"}, Disk{Name: "loop3", Kind: KindLoop, Size: 512}, true},
		"malformed":        {Arg{Glob: "sd["}, disk, false},
	} {
		if got := c.arg.Matches(c.disk); got != c.want {
			t.Errorf("%s: %+v matches %s: %v", name, c.arg, c.disk.Name, got)
		}
	}
}

func FuzzParseArg(f *testing.F) {
	for _, s := range []string{
		"vdf", "/dev/vdf", "vd*", "vd[b-d]", "/dev/disk/by-id/wwn-0x5", "/dev/disk/by-diskseq/1", "/dev/mapper/mpatha", "..", "$(x)", "a;b",
		"a'b", "a\nb",
		"-x", ".x", "[[:alpha:]]", "[!a]", "/dev/disk/by-id/../x", "cciss!c0d0", "*", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		arg, err := ParseArg(s)
		if err != nil {
			if arg != (Arg{}) {
				t.Errorf("an error and %+v", arg)
			}
			return
		}
		set := 0
		for _, v := range []string{arg.Name, arg.Glob, arg.Path} {
			if v != "" {
				set++
			}
		}
		if set != 1 {
			t.Fatalf("%q sets %d fields: %+v", s, set, arg)
		}
		got := arg.String()
		if strings.ContainsAny(got, " \t\n\r\x00\x1e\x1f$`'\"\\;&|<>(){}") || got[0] == '-' || got[0] == '.' {
			t.Errorf("%q is accepted as %q, which a shell reads otherwise", s, got)
		}
		if arg.Path != "" && (path.Clean(arg.Path) != arg.Path ||
			!strings.HasPrefix(arg.Path, "/dev/disk/") && path.Dir(arg.Path) != "/dev/mapper") {
			t.Errorf("%q is accepted as path %q", s, arg.Path)
		}
		if arg.Path == "" && strings.Contains(got, "/") {
			t.Errorf("%q is accepted as %q, which is no name", s, got)
		}
		if arg.Glob == "" && strings.ContainsAny(got, "*?[]") {
			t.Errorf("%q has wildcards and is no glob", s)
		}
		again, err := ParseArg(got)
		if err != nil || again != arg {
			t.Errorf("%q is %+v, and again %+v, %v", s, arg, again, err)
		}
		if arg.Glob == "" {
			if err := CheckEntry(arg.Entry(Disk{Name: arg.Name})); err != nil && len(got) < 200 {
				t.Errorf("%q makes a link whose name is refused: %v", s, err)
			}
		}
	})
}
