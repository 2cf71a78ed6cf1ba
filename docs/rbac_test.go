// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// changing are the roles that may change something: what, and by which verbs. A script in a pod is "create" on pods/exec.
var changing = map[string]map[string][]string{
	"link":         {"persistentvolumes": {"patch"}, "configmaps": {"create", "patch"}},
	"unlink":       {"persistentvolumes": {"delete"}, "configmaps": {"patch"}},
	"doctor-probe": {"jobs": {"create", "delete"}},
}

// TestRoles holds that the roles are what they are said to be: well-formed, without wildcards, and read-only except for
// the commands that change something. What they need is held where it is asked, in pkg/observe.
func TestRoles(t *testing.T) {
	files, err := filepath.Glob("rbac/*.yaml")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	page, err := os.ReadFile("rbac.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if !bytes.Contains(page, []byte("("+filepath.ToSlash(file)+")")) {
				t.Error("rbac.md does not name it")
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			command := strings.TrimSuffix(filepath.Base(file), ".yaml")
			var kinds []string
			for document := range strings.SplitSeq(string(text), "\n---\n") {
				// Both kinds have these fields. The Role is in a namespace.
				var role rbacv1.Role
				if err := yaml.UnmarshalStrict([]byte(document), &role); err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, role.Kind)
				if role.Name != "talosdisk-"+command || role.APIVersion != rbacv1.SchemeGroupVersion.String() ||
					(role.Kind == "Role") != (role.Namespace != "") {
					t.Errorf("it is %s %s %q in %q", role.APIVersion, role.Kind, role.Name, role.Namespace)
				}
				checkRules(t, role, changing[command])
			}
			if want := [][]string{{"ClusterRole"}, {"ClusterRole", "Role"}, {"Role"}}; !slices.ContainsFunc(want,
				func(w []string) bool { return slices.Equal(w, kinds) }) {
				t.Errorf("it has %v", kinds)
			}
		})
	}
}

func checkRules(t *testing.T, role rbacv1.Role, may map[string][]string) {
	seen := make(map[string]bool)
	for _, rule := range role.Rules {
		if len(rule.APIGroups) != 1 || len(rule.Resources) == 0 || len(rule.Verbs) == 0 {
			t.Errorf("a rule lacks something: %v", rule)
		}
		for _, resource := range rule.Resources {
			if rule := resource + strings.Join(rule.ResourceNames, ","); seen[rule] {
				t.Errorf("%s twice", resource)
			} else {
				seen[rule] = true
			}
			for _, verb := range rule.Verbs {
				reads := slices.Contains([]string{"get", "list", "watch"}, verb)
				script := resource == "pods/exec" && verb == "create" && role.Kind == "Role"
				if !reads && !script && !slices.Contains(may[resource], verb) {
					t.Errorf("%s on %s", verb, resource)
				}
			}
			if strings.Contains(resource, "*") || resource == "secrets" {
				t.Errorf("it may read %s", resource)
			}
		}
	}
}
