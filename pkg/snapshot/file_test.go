// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// filled sets every field of a value to something that is not its zero value, so that a
// field which does not survive a file is seen.
func filled(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	if v.CanAddr() && fillText(v.Addr().Interface()) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(t, v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).Type() == reflect.TypeFor[object]() {
				continue
			}
			if v.Type().Field(i).Tag.Get("json") == "-" { // It is no part of a file.
				continue
			}
			if !v.Type().Field(i).IsExported() {
				t.Fatalf("%s.%s is not exported, and fillText does not know its type", path, v.Type().Field(i).Name)
			}
			filled(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(t, v.Index(0), path+"[]")
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		filled(t, key, path+" key")
		filled(t, value, path+" value")
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	default:
		t.Fatalf("%s is a %s, which has no place in a file", path, v.Type())
	}
}

// fillText fills the types that are a text in a file.
func fillText(at any) bool {
	switch at := at.(type) {
	case *time.Time:
		*at = time.Date(2026, 11, 23, 2, 51, 0, 0, time.UTC)
	case *metav1.Time:
		*at = metav1.NewTime(time.Date(2026, 11, 23, 2, 51, 0, 0, time.UTC).Local())
	case *talosrelease.Release:
		*at, _ = talosrelease.Parse("v1.14.0")
	default:
		return false
	}
	return true
}

func TestEverythingSurvivesAFile(t *testing.T) {
	var in Snapshot
	filled(t, reflect.ValueOf(&in).Elem(), "Snapshot")
	in.Version = FormatVersion
	var file bytes.Buffer
	if err := Save(&file, &in); err != nil {
		t.Fatal(err)
	}
	first := file.String()
	out, err := Load(&file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&in, out) {
		t.Errorf("%+v\nbecame %+v", &in, out)
	}
	var again bytes.Buffer
	if err := Save(&again, out); err != nil || again.String() != first {
		t.Errorf("saved again it is another file, %v", err)
	}
}

func TestAnEmptySnapshotIsOne(t *testing.T) {
	var file bytes.Buffer
	if err := Save(&file, &Snapshot{}); err != nil {
		t.Fatal(err)
	}
	got, err := Load(&file)
	if err != nil || got.Claims.Value != nil || got.Claims.Why().Message != "it was not looked at" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatIsNoSnapshotIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, want, hint string }{
		"empty":          {want: "this is no snapshot: unexpected end of JSON input", hint: "--save-snapshot"},
		"YAML":           {file: "version: 1", want: "this is no snapshot: ", hint: "--save-snapshot"},
		"a list":         {file: "[]", want: "this is no snapshot: ", hint: "--save-snapshot"},
		"another object": {file: `{"kind":"Pod"}`, want: "it has no version", hint: "--save-snapshot"},
		"newer": {
			file: `{"version":3,"news":1}`,
			want: "the snapshot has version 3 of the format, and this program knows versions up to 2",
			hint: "a newer program; this one is: kubectl talosdisk version --client",
		},
		"an unknown field": {
			file: `{"version":1,"nodes":[{"name":"w-1","secret":"x"}]}`,
			want: `unknown field "secret"`,
			hint: "--save-snapshot",
		},
		"another type": {file: `{"version":1,"nodes":"w-1"}`, want: "the snapshot is not understood", hint: "--save-snapshot"},
		"two":          {file: `{"version":1}{"version":1}`, want: "this is no snapshot: ", hint: "--save-snapshot"},
		"a claim":      {file: `{"version":1,"users":{"value":{"x":["p"]}}}`, want: `claim "x" is not NAMESPACE/NAME`, hint: "--save-snapshot"},
		"cut":          {file: `{"version":1,"nodes":[`, want: "this is no snapshot: unexpected end of JSON input", hint: "--save-snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(strings.NewReader(c.file))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(failure.Hint(err), c.hint) {
				t.Errorf("%v, hint %q", err, failure.Hint(err))
			}
		})
	}
}

// Before version 2 a problem was a text, with its kind beside it in some sections.
func TestProblemsOfVersion1(t *testing.T) {
	const file = `{
  "version": 1,
  "unread": {"install": "several provisioners: \"a/x\", \"b/y\""},
  "noTalos": "no talosconfig was found",
  "claims": {"problem": "claims is forbidden: User \"jane\" cannot list resource \"persistentvolumeclaims\" in API group \"\" at the cluster scope"},
  "events": {"value": [], "problem": "EOF"},
  "nodes": [{
    "name": "w-1",
    "pod": {"problem": "the DaemonSet does not tolerate the node's taint a=b:NoSchedule"},
    "view": {"problem": "the kubelet on w-1 does not know its pods yet, as after a start: ask again in a minute", "kind": "kubelet starting"},
    "talos": {"problem": "whatever it says", "kind": "role too weak"}
  }]
}`
	s, err := Load(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	n := s.Nodes[0]
	for name, c := range map[string]struct {
		got    problem.Problem
		kind   problem.Kind
		object string
	}{
		"unread":  {got: s.Unread[PartInstall], kind: problem.SeveralProvisioners},
		"noTalos": {got: s.NoTalos, kind: problem.TalosNotConfigured},
		"claims":  {got: s.Claims.Problem, kind: problem.Forbidden},
		"events":  {got: s.Events.Problem},
		"pod":     {got: n.Pod.Problem, kind: problem.NotTolerated, object: "a=b:NoSchedule"},
		"view":    {got: n.View.Problem, kind: problem.KubeletStarting, object: "w-1"},
		"talos":   {got: n.Talos.Problem, kind: problem.TalosDenied},
	} {
		if c.got.Message == "" || c.got.Kind != c.kind || c.got.Object != c.object {
			t.Errorf("%s: %+v", name, c.got)
		}
	}
	if f := s.Claims.Problem.Forbidden; f == nil || f.User != "jane" || f.Missing[0].Resource != "persistentvolumeclaims" {
		t.Errorf("%+v", f)
	}
	var again bytes.Buffer
	if err := Save(&again, s); err != nil {
		t.Fatal(err)
	}
	if out, err := Load(&again); err != nil || !reflect.DeepEqual(out.Nodes, s.Nodes) || !reflect.DeepEqual(out.Claims, s.Claims) {
		t.Errorf("saved and loaded again it is %+v, %v", out, err)
	}
	if _, err := Load(strings.NewReader(`{"version":1,"claims":{"problem":"x","news":1}}`)); err == nil {
		t.Error("an unknown field of a section is taken")
	}
}

// plain are the types of Kubernetes that a snapshot may hold: values that say no more
// than what is decided on.
var plain = map[reflect.Type]bool{
	reflect.TypeFor[types.UID]():                       true,
	reflect.TypeFor[corev1.Taint]():                    true,
	reflect.TypeFor[corev1.TaintEffect]():              true,
	reflect.TypeFor[corev1.Toleration]():               true,
	reflect.TypeFor[corev1.TolerationOperator]():       true,
	reflect.TypeFor[corev1.MountPropagationMode]():     true,
	reflect.TypeFor[metav1.Time]():                     true,
	reflect.TypeFor[metav1.LabelSelector]():            true,
	reflect.TypeFor[metav1.LabelSelectorRequirement](): true,
	reflect.TypeFor[metav1.LabelSelectorOperator]():    true,
}

// A secret can only get into a file through a field that can hold one: a whole object, a
// configuration, bytes, or anything at all.
func TestNothingInASnapshotCanHoldASecret(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch {
		case typ == reflect.TypeFor[machineconfig.Current]():
			t.Errorf("%s is a machine configuration", path)
		case reflect.PointerTo(typ).Implements(reflect.TypeFor[runtime.Object]()),
			reflect.PointerTo(typ).Implements(reflect.TypeFor[metav1.Object]()):
			t.Errorf("%s is an object of Kubernetes: %s", path, typ)
		case strings.HasPrefix(typ.PkgPath(), "k8s.io/") && !plain[typ]:
			t.Errorf("%s is a %s, which nobody has looked at", path, typ)
		case typ == reflect.TypeFor[time.Time](), typ == reflect.TypeFor[metav1.Time](), typ == reflect.TypeFor[talosrelease.Release]():
			return
		}
		switch typ.Kind() {
		case reflect.Pointer:
			walk(typ.Elem(), path)
		case reflect.Slice:
			if typ.Elem().Kind() == reflect.Uint8 {
				t.Errorf("%s holds bytes", path)
			}
			walk(typ.Elem(), path+"[]")
		case reflect.Map:
			walk(typ.Key(), path+" key")
			walk(typ.Elem(), path+" value")
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				switch strings.ToLower(f.Name) {
				case "annotations", "env", "args", "command", "data":
					t.Errorf("%s.%s can hold what nobody asked for", path, f.Name)
				}
				walk(f.Type, path+"."+f.Name)
			}
		case reflect.Interface, reflect.Array, reflect.Chan, reflect.Func, reflect.UnsafePointer:
			t.Errorf("%s is a %s, which can hold anything", path, typ)
		}
	}
	walk(reflect.TypeFor[Snapshot](), "Snapshot")
	if len(seen) < 30 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
