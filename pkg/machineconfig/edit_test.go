// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// disks is the entry that the tests add.
func disks() extraMount {
	return extraMount{Destination: "/var/lib/disks", Type: "bind", Source: "/var/lib/disks", Options: []string{"rbind", "rslave", "rw"}}
}

const disksFlow = "{destination: /var/lib/disks, type: bind, source: /var/lib/disks, options: [rbind, rslave, rw]}"

// block writes the entry as lines, each behind a prefix.
func block(prefix string) string {
	return prefix + "- destination: /var/lib/disks\n" + prefix + "  type: bind\n" + prefix + "  source: /var/lib/disks\n" +
		prefix + "  options:\n" + prefix + "    - rbind\n" + prefix + "    - rslave\n" + prefix + "    - rw\n"
}

func TestEditAdds(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"below the last key of the kubelet": {
			"version: v1alpha1\nmachine:\n    type: worker\n    kubelet:\n        image: x\n    install: {}\n",
			"version: v1alpha1\nmachine:\n    type: worker\n    kubelet:\n        image: x\n        extraMounts:\n" + block("            ") +
				"    install: {}\n",
		},
		"as the document indents": {
			"machine:\n  certSANs:\n  - a\n  kubelet:\n    image: x\n",
			"machine:\n  certSANs:\n  - a\n  kubelet:\n    image: x\n    extraMounts:\n" +
				"    - destination: /var/lib/disks\n      type: bind\n      source: /var/lib/disks\n      options:\n      - rbind\n      - rslave\n      - rw\n",
		},
		"no key kubelet": {
			"machine:\n  type: worker\n  # about nothing\ncluster: {}\n",
			"machine:\n  type: worker\n  kubelet:\n    extraMounts:\n" + block("      ") + "  # about nothing\ncluster: {}\n",
		},
		"kubelet is null": {
			"machine:\n  kubelet: # mine\n  type: worker\n",
			"machine:\n  kubelet: # mine\n    extraMounts:\n" + block("      ") + "  type: worker\n",
		},
		"kubelet is a written null": {
			"machine:\n  kubelet: null # mine\n  type: worker\n",
			"machine:\n  kubelet: # mine\n    extraMounts:\n" + block("      ") + "  type: worker\n",
		},
		"no key machine": {
			"version: v1alpha1\n---\nkind: A\n",
			"version: v1alpha1\nmachine:\n    kubelet:\n        extraMounts:\n" + block("            ") + "---\nkind: A\n",
		},
		"kubelet in empty brackets": {
			"machine:\n  kubelet: {} # none\n", "machine:\n  kubelet: {extraMounts: [" + disksFlow + "]} # none\n",
		},
		"kubelet in brackets": {
			"machine:\n  kubelet: {image: x, }\n", "machine:\n  kubelet: {image: x, extraMounts: [" + disksFlow + "], }\n",
		},
		"an empty list": {
			"machine:\n  kubelet:\n    extraMounts: [] # none\n    image: x\n",
			"machine:\n  kubelet:\n    extraMounts: [" + disksFlow + "] # none\n    image: x\n",
		},
		"a null list": {
			"machine:\n  kubelet:\n    extraMounts:\n    image: x\n",
			"machine:\n  kubelet:\n    extraMounts:\n" + block("      ") + "    image: x\n",
		},
		"a list in brackets": {
			"machine:\n  kubelet:\n    extraMounts: [{destination: /a}]\n",
			"machine:\n  kubelet:\n    extraMounts: [{destination: /a}, " + disksFlow + "]\n",
		},
		"a list of brackets": {
			"machine:\n  kubelet:\n    extraMounts:\n    -   {destination: /a}\n    image: x\n",
			"machine:\n  kubelet:\n    extraMounts:\n    -   {destination: /a}\n    - " + disksFlow + "\n    image: x\n",
		},
		"a list": {
			"machine:\n  kubelet:\n    extraMounts:\n      -  destination: /a # one\n         options:\n          - rw\n         # type: bind\n\n      # the end\n    image: x\n",
			"machine:\n  kubelet:\n    extraMounts:\n      -  destination: /a # one\n         options:\n          - rw\n         # type: bind\n" +
				"      -  destination: /var/lib/disks\n         type: bind\n         source: /var/lib/disks\n         options:\n          - rbind\n          - rslave\n          - rw\n" +
				"\n      # the end\n    image: x\n",
		},
		"JSON": {
			`{"machine":{"kubelet":{"image":"x"}}}`,
			`{"machine":{"kubelet":{"image":"x", "extraMounts": [{"destination":"/var/lib/disks","type":"bind","source":"/var/lib/disks","options":["rbind","rslave","rw"]}]}}}`,
		},
		"anchors, aliases and tags elsewhere": {
			"machine:\n  ca: &a !!map {crt: x}\n  kubelet:\n    image: x\ncluster:\n  <<: *a\n  ca: *a\n",
			"machine:\n  ca: &a !!map {crt: x}\n  kubelet:\n    image: x\n    extraMounts:\n" + block("      ") + "cluster:\n  <<: *a\n  ca: *a\n",
		},
		"an alias as the last entry": {
			"machine:\n  kubelet:\n    extraMounts:\n      - &a {destination: /a}\n      - *a\n",
			"machine:\n  kubelet:\n    extraMounts:\n      - &a {destination: /a}\n      - *a\n" + block("      "),
		},
		"no line break at the end": {
			"machine:\n  kubelet:\n    image: x", "machine:\n  kubelet:\n    image: x\n    extraMounts:\n" +
				strings.TrimSuffix(block("      "), "\n"),
		},
		"a scalar at the end that has no line break": {
			"machine:\n  kubelet:\n    image: |\n      x", "machine:\n  kubelet:\n    extraMounts:\n" + block("      ") + "    image: |\n      x",
		},
		"a scalar at the end that keeps its line breaks": {
			"machine:\n  kubelet:\n    image: |+\n      x\n\n\n  type: worker\n",
			"machine:\n  kubelet:\n    image: |+\n      x\n\n\n    extraMounts:\n" + block("      ") + "  type: worker\n",
		},
		"other documents around": {
			"\uFEFF%YAML 1.1\n---\nkind: A\n...\n---\nmachine:\n  kubelet:\n    image: x\n...\n---\nkind: B\n",
			"\uFEFF%YAML 1.1\n---\nkind: A\n...\n---\nmachine:\n  kubelet:\n    image: x\n    extraMounts:\n" + block("      ") +
				"...\n---\nkind: B\n",
		},
	} {
		for _, newline := range []string{"\n", "\r\n"} {
			before, after := strings.ReplaceAll(c.before, "\n", newline), strings.ReplaceAll(c.after, "\n", newline)
			t.Run(name, func(t *testing.T) {
				got, err := editMounts([]byte(before), mountsChange{Add: []extraMount{disks()}})
				if err != nil {
					t.Fatal(err, failure.Hint(err))
				}
				if string(got) != after {
					t.Errorf("got\n%q\nwant\n%q", got, after)
				}
			})
		}
	}
}

func TestEditRemoves(t *testing.T) {
	list := func(entries string) string {
		return "machine:\n  kubelet:\n    image: x\n    extraMounts:\n" + entries + "    # the end\n  type: worker\n"
	}
	const a, b, c = "      # one\n      - destination: /a\n        # type: bind\n", "      - destination: /b\n\n",
		"      # three\n      # 3\n      - {destination: /c}\n"
	for name, test := range map[string]struct {
		before, after string
		remove        []int
	}{
		"the first":  {before: list(a + b + c), after: list(b + c), remove: []int{0}},
		"the middle": {before: list(a + b + c), after: list(a + "\n" + c), remove: []int{1}},
		"the last":   {before: list(a + b + c), after: list(a + b), remove: []int{2}},
		"two":        {before: list(a + b + c), after: list(b), remove: []int{2, 0}},
		"all":        {before: list(a), after: "machine:\n  kubelet:\n    image: x\n    # the end\n  type: worker\n", remove: []int{0}},
		"all of a comment": {
			before: "machine:\n  kubelet:\n    # mounts\n    extraMounts:\n" + a,
			after:  "machine:\n  kubelet:\n    # mounts\n    extraMounts: []\n",
			remove: []int{0},
		},
		"all of a remark": {
			before: "machine:\n  kubelet:\n    extraMounts: # mounts\n" + a,
			after:  "machine:\n  kubelet:\n    extraMounts: [] # mounts\n",
			remove: []int{0},
		},
		"all and more": {
			before: "machine:\n  type: worker\n  kubelet:\n    extraMounts:\n" + a,
			after:  "machine:\n  type: worker\n",
			remove: []int{0},
		},
		"from brackets": {
			before: "machine: {kubelet: {image: x, extraMounts: [a: , {destination: /b}, # 2\n {destination: /c}]}}\n",
			after:  "machine: {kubelet: {image: x, extraMounts: [a: , {destination: /b}]}}\n",
			remove: []int{2},
		},
		"from the front": {
			before: "machine: {kubelet: {extraMounts: [{destination: /b}, {destination: /c}, ]}}\n",
			after:  "machine: {kubelet: {extraMounts: [{destination: /c}, ]}}\n",
			remove: []int{0},
		},
		"all from brackets": {
			before: "machine: {kubelet: {extraMounts: [{destination: /b}, ], image: x}}\n",
			after:  "machine: {kubelet: {image: x}}\n",
			remove: []int{0},
		},
		"all there is": {before: "machine:\n  kubelet:\n    extraMounts:\n" + a, after: "machine:\n", remove: []int{0}},
		"below a comment": {
			before: "machine:\n  type: worker\n  kubelet:\n        # deep\n    extraMounts:\n" + a,
			after:  "machine:\n  type: worker\n  kubelet:\n        # deep\n",
			remove: []int{0},
		},
		"below a scalar that keeps its line breaks": {
			before: "machine:\n  kubelet:\n    extraMounts:\n    - destination: |+\n        a\n    - destination: /b\n\n    image: x\n",
			after:  "machine:\n  kubelet:\n    extraMounts:\n    - destination: |+\n        a\n    image: x\n",
			remove: []int{1},
		},
		"below quotes": {
			before: "machine:\n  kubelet:\n    extraMounts:\n    - destination: '/a\n# b'\n    - destination: /b\n",
			after:  "machine:\n  kubelet:\n    extraMounts:\n    - destination: '/a\n# b'\n",
			remove: []int{1},
		},
		"without a break": {
			before: "machine:\n  kubelet:\n    extraMounts:\n    - destination: /a\n    - destination: /b",
			after:  "machine:\n  kubelet:\n    extraMounts:\n    - destination: /a",
			remove: []int{1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := editMounts([]byte(test.before), mountsChange{Remove: test.remove})
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.after {
				t.Errorf("got\n%s\nwant\n%s", got, test.after)
			}
		})
	}
}

// TestEditRestores holds that what was added leaves no trace when it is removed again.
func TestEditRestores(t *testing.T) {
	for name, raw := range map[string]string{
		"keys":                      "machine:\n  kubelet:\n    image: x\n    # clusterDNS: []\n",
		"no kubelet":                "machine:\n  type: worker\n\n  # the end\ncluster: {}\n",
		"no machine":                "version: v1alpha1",
		"kubelet with a remark":     "machine:\n  kubelet: # mine\n  type: worker\n",
		"kubelet with a comment in": "machine:\n  kubelet:\n    # image: x\n  type: worker\n",
		"braces":                    "machine:\n  kubelet: {}\n",
		"braces with content":       "machine:\n  kubelet: { image: x }\n",
		"brackets":                  "machine:\n  kubelet:\n    extraMounts: [ ]\n",
		"a list":                    "machine:\n  kubelet:\n    extraMounts:\n    - destination: /a\n      # type: bind\n    # the end",
		"an unusual list":           "machine:\n  kubelet:\n    extraMounts:\n    - # a\n\n     source: /b\n     destination: >-\n       /a\n\n\n    image: x",
	} {
		t.Run(name, func(t *testing.T) {
			config, err := readMounts([]byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			added, err := editMounts([]byte(raw), mountsChange{Add: []extraMount{disks(), {Destination: "/var/b"}}})
			if err != nil {
				t.Fatal(err)
			}
			n := len(config.ExtraMounts)
			restored, err := editMounts(added, mountsChange{Remove: []int{n, n + 1}})
			if err != nil {
				t.Fatal(err)
			}
			if string(restored) != raw {
				t.Errorf("got\n%s\nwant\n%s", restored, raw)
			}
		})
	}
}

func TestEditReplaces(t *testing.T) {
	raw := "machine:\n  kubelet:\n    # all of them\n    extraMounts: # see below\n      - destination: /a\n    image: x\n"
	got, err := editMounts([]byte(raw), mountsChange{Remove: []int{0}, Add: []extraMount{disks()}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "machine:\n  kubelet:\n    # all of them\n    extraMounts: # see below\n" + block("      ") +
		"    image: x\n"; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEditWithoutChange(t *testing.T) {
	raw := []byte("machine: {kubelet: {image: x}}")
	if got, err := editMounts(raw, mountsChange{}); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestEditQuotes holds that every string comes back as it was.
func TestEditQuotes(t *testing.T) {
	for _, raw := range []string{"machine:\n  kubelet:\n    image: x\n", "machine: {kubelet: {}}", `{"machine":{"kubelet":{"image":""}}}`} {
		for _, s := range []string{"~", "null", "yes", "1", "0x1", "a: b", "a #b", "#a", "- a", "[a", "a]", "a, b", "{a}", "'", `"`, `\`, "*a",
			"&a", "!a", "@a", "%a", "|", " a", "a ", "ä", "?", "? a", ":", "<<", "---", "...", "=", "2001-01-01", "\uFEFFa", "<&>",
			strings.Repeat("long words ", 40)} {
			want := []extraMount{{Destination: s, Type: s, Source: s, Options: []string{s, "rw"}}}
			got, err := editMounts([]byte(raw), mountsChange{Add: want})
			if err != nil {
				t.Errorf("%q in %q: %v", s, raw, err)
				continue
			}
			if config, err := readMounts(got); err != nil || !slices.EqualFunc(config.ExtraMounts, want, equalMount) {
				t.Errorf("%q in %q: got %q, %v", s, raw, config.ExtraMounts, err)
			}
		}
	}
}

func TestEditRefuses(t *testing.T) {
	const ref, twice = "an anchor, an alias, a merge key or a tag", "the same key twice"
	for name, c := range map[string]struct {
		raw, message string
		remove       []int
	}{
		"an anchor at machine":   {raw: "machine: &a\n  type: worker\n", message: ref + ` at "machine" (line 1)`},
		"an alias at kubelet":    {raw: "x: &a {}\nmachine:\n  kubelet: *a\n", message: ref + ` at "machine.kubelet" (line 3)`},
		"a merge key in kubelet": {raw: "x: &a {}\nmachine:\n  kubelet:\n    <<: *a\n", message: ref + ` at "machine.kubelet" (line 4)`},
		"an anchor at extraMounts": {
			raw:     "machine:\n  kubelet:\n    extraMounts: &a []\n",
			message: ref + ` at "machine.kubelet.extraMounts" (line 3)`,
		},
		"a tag at extraMounts": {raw: "machine:\n  kubelet:\n    extraMounts: !!seq []\n", message: ref},
		"an anchor at a key":   {raw: "machine:\n  &a kubelet:\n    image: x\n", message: ref},
		"an anchor in an entry": {
			raw:     "machine:\n  kubelet:\n    extraMounts:\n    - destination: &a /a\n",
			message: "number 1 has an anchor",
			remove:  []int{0},
		},
		"an alias in an entry": {
			raw:     "x: &a /a\nmachine:\n  kubelet:\n    extraMounts:\n    - destination: /b\n    - destination: *a\n",
			message: "number 2 has an anchor",
			remove:  []int{1},
		},
		"an entry that is not":      {raw: "machine:\n  kubelet:\n    extraMounts: []\n", message: "no extra mount number 1", remove: []int{0}},
		"a key twice":               {raw: "machine:\n  kubelet: {}\n  kubelet: {}\n", message: twice},
		"a key twice elsewhere":     {raw: "machine:\n  kubelet: {}\n---\nkind: A\na: {b: 1, b: 2}\n", message: twice},
		"an explicit key":           {raw: "machine:\n  ? kubelet\n  : image: x\n", message: `"machine.kubelet" behind something else`},
		"two v1alpha1 documents":    {raw: "machine: {}\n---\ncluster: {}\n", message: "several v1alpha1 documents (lines 1 and 3)"},
		"no v1alpha1 document":      {raw: "kind: A\n", message: "no v1alpha1 document"},
		"an unknown document":       {raw: "a: b\n", message: "without a kind that is not v1alpha1"},
		"a list":                    {raw: "- a\n", message: "no mapping (line 1)"},
		"nothing":                   {message: "no v1alpha1 document"},
		"no YAML":                   {raw: "machine: [CANARY\n  b: *CANARY", message: "not valid YAML"},
		"an unknown anchor":         {raw: "machine: *CANARY", message: "not valid YAML"},
		"another encoding":          {raw: "\xFF\xFEm\x00", message: "not UTF-8"},
		"a list that is none":       {raw: "machine:\n  kubelet:\n    extraMounts: CANARY\n", message: "not one that Talos takes (line 3)"},
		"an entry that is a string": {raw: "machine:\n  kubelet:\n    extraMounts: [CANARY]\n", message: "not one that Talos takes (line 3)"},
		"a KubeletConfig document":  {raw: "machine: {}\n---\napiVersion: v1alpha1\nkind: KubeletConfig\n", message: `"KubeletConfig" document`},
	} {
		t.Run(name, func(t *testing.T) {
			change := mountsChange{Add: []extraMount{disks()}}
			if c.remove != nil {
				change = mountsChange{Remove: c.remove}
			}
			got, err := editMounts([]byte(c.raw), change)
			if err == nil {
				t.Fatalf("got\n%s", got)
			}
			if !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %q, want %q", err, c.message)
			}
			if strings.Contains(err.Error()+failure.Hint(err), "CANARY") {
				t.Errorf("%q quotes the configuration", err)
			}
		})
	}
}

// TestEdited holds that the comparison sees what an edit must not do.
func TestEdited(t *testing.T) {
	const before = "machine: {type: worker, kubelet: {image: x, extraMounts: [{destination: /a, uidMappings: []}]}}\n---\nkind: A\na: b\n"
	after := strings.Replace(before, "[]}]", "[]}, "+disksFlow+"]", 1)
	for name, c := range map[string]struct {
		after string
		want  bool
	}{
		"what it should":         {after, true},
		"nothing":                {before, false},
		"another value":          {strings.Replace(after, "worker", "controlplane", 1), false},
		"another image":          {strings.Replace(after, "image: x", "image: y", 1), false},
		"a string for a number":  {strings.Replace(after, "worker", "'worker'", 1), false},
		"a key more":             {strings.Replace(after, "image: x", "image: x, clusterDNS: []", 1), false},
		"another entry":          {strings.Replace(after, "/a", "/b", 1), false},
		"an entry that lost":     {strings.Replace(after, ", uidMappings: []", "", 1), false},
		"another option":         {strings.Replace(after, "rslave", "rshared", 1), false},
		"another document":       {strings.Replace(after, "a: b", "a: c", 1), false},
		"a document more":        {after + "---\nkind: B\n", false},
		"no document of its own": {"kind: A\n---\nkind: A\na: b\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			was, err := Parse([]byte(before))
			if err != nil {
				t.Fatal(err)
			}
			now, err := Parse([]byte(c.after))
			if err != nil {
				t.Fatal(err)
			}
			if got := mountsList.edited(was, now, mountsChange{Add: []extraMount{disks()}}.ofList()); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
