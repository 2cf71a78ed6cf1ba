// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Releases of Kubernetes whose messages are to be understood: 1.29 to 1.37.
const firstMinor, lastMinor = 29, 37

// cited is a wording that a message is made of, with where it comes from.
type cited struct {
	first, last int
	file        string
	wording     string
}

// message is a row of testdata/messages.txt, which tells how to read it.
type message struct {
	line int
	// of is "mount", "scheduling" or "event".
	of, kind string
	want     map[string]string
	says     string
	cites    []cited
	// others are wordings that are not of Kubernetes.
	others []string
}

func messages(t testing.TB) []message {
	t.Helper()
	text, err := os.ReadFile("testdata/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	cite := regexp.MustCompile(`^1\.(\d+)-1\.(\d+) (k8s\.io/\S+\.go) (.+)$`)
	other := regexp.MustCompile(`^other \S+ \S+ (.+)$`)
	var all []message
	for i, line := range strings.Split(string(text), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		row := &message{}
		if len(all) > 0 {
			row = &all[len(all)-1]
		}
		switch {
		case line == "", strings.HasPrefix(line, "#"), word == "releases":
		case word == "mount", word == "scheduling", word == "event":
			fields := strings.Fields(rest)
			m := message{line: i + 1, of: word, kind: fields[0], want: make(map[string]string)}
			for _, field := range fields[1:] {
				key, value, _ := strings.Cut(field, "=")
				m.want[key] = value
			}
			all = append(all, m)
		case word == "says" && row.says == "":
			row.says = strings.ReplaceAll(rest, `\n`, "\n")
		case other.MatchString(line):
			row.others = append(row.others, other.FindStringSubmatch(line)[1])
		case cite.MatchString(line):
			m := cite.FindStringSubmatch(line)
			first, _ := strconv.Atoi(m[1])
			last, _ := strconv.Atoi(m[2])
			row.cites = append(row.cites, cited{first, last, m[3], m[4]})
		default:
			t.Fatalf("messages.txt:%d: what is %q?", i+1, line)
		}
	}
	return all
}

// like makes a wording with verbs of package fmt an expression of what it becomes.
func (c cited) like() *regexp.Regexp {
	pattern := regexp.QuoteMeta(strings.ReplaceAll(c.wording, `\n`, "\n"))
	for _, verb := range []string{"%v", "%s", "%w", "%d"} {
		pattern = strings.ReplaceAll(pattern, verb, ".*")
	}
	return regexp.MustCompile(`(?s)` + strings.ReplaceAll(pattern, "%q", `".*"`))
}

// Each row says where its message comes from, and its message is made of what it cites. What
// it cites was in one release together, and each kind is known from all releases.
func TestMessagesAreCited(t *testing.T) {
	known := make(map[string]map[int]bool)
	for _, m := range messages(t) {
		if len(m.cites) == 0 && len(m.others) == 0 || m.of != "event" && len(m.cites) == 0 {
			t.Errorf("messages.txt:%d: no file of Kubernetes is cited", m.line)
		}
		first, last := firstMinor, lastMinor
		for _, c := range m.cites {
			if c.first < firstMinor || c.last > lastMinor || c.first > c.last {
				t.Errorf("messages.txt:%d: 1.%d to 1.%d is not within 1.%d to 1.%d", m.line, c.first, c.last, firstMinor, lastMinor)
			}
			first, last = max(first, c.first), min(last, c.last)
			if said := m.says; m.of != "event" && !c.like().MatchString(said) {
				t.Errorf("messages.txt:%d: %q is not in\n%s", m.line, c.wording, said)
			}
		}
		if first > last {
			t.Errorf("messages.txt:%d: no release has all that is cited", m.line)
		}
		kind := m.of + " " + m.kind
		if known[kind] == nil {
			known[kind] = make(map[int]bool)
		}
		for minor := first; minor <= last; minor++ {
			known[kind][minor] = true
		}
	}
	want := []string{"mount other", "scheduling other"}
	for _, r := range mountRules() {
		want = append(want, "mount "+string(r.kind))
	}
	for _, kind := range []SchedulingKind{SchedulingAffinity, SchedulingNoVolume, SchedulingUnbound, SchedulingVolumeGone, SchedulingClaimGone,
		SchedulingDeleting, SchedulingInUse, SchedulingTaint} {
		want = append(want, "scheduling "+string(kind))
	}
	for _, reason := range EventReasons() {
		want = append(want, "event "+reason)
	}
	for _, kind := range want {
		if len(known[kind]) != lastMinor-firstMinor+1 {
			t.Errorf("%s is known from the releases %v only", kind, slices.Sorted(maps.Keys(known[kind])))
		}
	}
	for kind := range known {
		if !slices.Contains(want, kind) {
			t.Errorf("%s is no kind", kind)
		}
	}
}

// fields are what was understood of a message, by their names in the table.
func (c MountCause) fields() map[string]string {
	all := map[string]string{
		"operation": c.Operation, "volume": c.Volume, "claim": c.Claim, "volumes": strings.Join(c.Volumes, ","), "path": c.Path,
		"device": c.Device,
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

func TestParseMount(t *testing.T) {
	for _, m := range messages(t) {
		if m.of != "mount" {
			continue
		}
		got := ParseMount(m.says)
		switch {
		case len(got) != 1:
			t.Errorf("messages.txt:%d: %d causes: %+v", m.line, len(got), got)
		case string(got[0].Kind) != m.kind || !maps.Equal(got[0].fields(), m.want):
			t.Errorf("messages.txt:%d: %s\nis %s %v, want %s %v", m.line, m.says, got[0].Kind, got[0].fields(), m.kind, m.want)
		case got[0].Detail == "" || strings.HasPrefix(got[0].Detail, ":") || !strings.HasSuffix(strings.TrimSpace(m.says), got[0].Detail):
			t.Errorf("messages.txt:%d: the detail is %q", m.line, got[0].Detail)
		}
	}
	for _, message := range []string{
		"", "Back-off restarting failed container nginx in pod nginx_default(4)",
		`Failed to pull image "nginx": rpc error: code = DeadlineExceeded desc = context deadline exceeded`, "Error: ImagePullBackOff",
	} {
		if got := ParseMount(message); len(got) > 0 {
			t.Errorf("%q is taken for %+v", message, got)
		}
	}
}

// One event tells of all volumes of a pod with which the kubelet could not begin.
func TestParseMountOfSeveral(t *testing.T) {
	const message = `Unable to attach or mount volumes: unmounted volumes=[a b c d], unattached volumes=[], failed to process volumes=[a b c]: ` +
		`error processing PVC default/a: PVC is not bound; error processing PVC default/b: failed to fetch PVC from API server: persistentvolumeclaims "b" not found; ` +
		`volume c has volumeMode Block, but is specified in volumeMounts; failed to get Plugin from volumeSpec for volume "csi-pv" err=no volume plugin matched; something new`
	var got []string
	for _, c := range ParseMount(message) {
		got = append(got, fmt.Sprint(c.Kind, c.fields()))
	}
	if want := []string{"not-boundmap[claim:default/a]", "claim-gonemap[claim:default/b]", "block-as-mountmap[volume:c]",
		"othermap[volume:csi-pv]", "othermap[volumes:a,b,c]"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseScheduling(t *testing.T) {
	for _, m := range messages(t) {
		if m.of != "scheduling" {
			continue
		}
		got := ParseScheduling(m.says)
		if !slices.ContainsFunc(got, func(c SchedulingCause) bool {
			return string(c.Kind) == m.kind && strconv.Itoa(c.Nodes) == m.want["nodes"] && !strings.Contains(c.Detail, "preemption")
		}) {
			t.Errorf("messages.txt:%d: %s\nhas no %s of %s nodes: %+v", m.line, m.says, m.kind, m.want["nodes"], got)
		}
	}
	if got := ParseScheduling(""); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

// Messages come from other programs: none may do more than be misunderstood.
func FuzzMessages(f *testing.F) {
	for _, m := range messages(f) {
		f.Add(m.says)
	}
	f.Add(`0/3 nodes are available: 99999999999999999999 node(s) had volume node affinity conflict. preemption: x`)
	f.Add("format of disk \"\" failed\x00\xff")
	f.Fuzz(func(t *testing.T, message string) {
		for _, c := range ParseMount(message) {
			if c.Kind == "" || len(c.Path) > len(message) || len(c.Device) > len(message) || len(c.Detail) > len(message) {
				t.Errorf("%q: %+v", message, c)
			}
		}
		for _, s := range ParseScheduling(message) {
			if s.Detail == "" || s.Nodes < 0 {
				t.Errorf("%q: %+v", message, s)
			}
		}
		if strings.ContainsAny(oneLine(message), "\n\r\t") {
			t.Errorf("%q is more than a line", message)
		}
	})
}
