// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// documented are the roles of a file in docs/rbac: a ClusterRole, and for most a Role in
// the provisioner's namespace.
func documented(t *testing.T, name string) []rbacv1.Role {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rbac", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var roles []rbacv1.Role
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var r rbacv1.Role // Both kinds have these fields.
		if err := yaml.UnmarshalStrict(document, &r); err != nil {
			t.Fatal(err)
		}
		roles = append(roles, r)
	}
	return roles
}

// granted applies the very files, gives them to a new user as docs/rbac.md says, and
// returns the user's kubeconfig.
func granted(t *testing.T, user string, files ...string) string {
	t.Helper()
	var all []rbacv1.Role
	for _, file := range files {
		kubectl(t, nil, "apply", "-f", filepath.Join("..", "..", "docs", "rbac", file+".yaml"))
		all = append(all, documented(t, file)...)
	}
	return bound(t, user, all)
}

// bound binds roles that are there to a user.
func bound(t *testing.T, user string, roles []rbacv1.Role) string {
	t.Helper()
	api := kube().RbacV1()
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	for _, r := range roles {
		meta := metav1.ObjectMeta{Name: r.Name + "-" + user, Namespace: r.Namespace}
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: r.Kind, Name: r.Name}
		var err error
		if r.Namespace == "" {
			_, err = api.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref},
				metav1.CreateOptions{})
		} else {
			_, err = api.RoleBindings(r.Namespace).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref},
				metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			var errs []error
			if r.Namespace == "" {
				errs = append(errs, api.ClusterRoleBindings().Delete(withoutEnd(t), meta.Name, deleteNow),
					api.ClusterRoles().Delete(withoutEnd(t), r.Name, deleteNow))
			} else {
				errs = append(errs, api.RoleBindings(r.Namespace).Delete(withoutEnd(t), meta.Name, deleteNow),
					api.Roles(r.Namespace).Delete(withoutEnd(t), r.Name, deleteNow))
			}
			for _, err := range errs {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	kubeconfig, err := theCluster.KubeconfigFor(user)
	if err != nil {
		t.Fatal(err)
	}
	// The authorizer learns of roles a little later.
	eventually(t, 10*time.Second, func() string {
		for _, r := range roles {
			for _, rule := range r.Rules {
				if why := mayNot(t, user, r.Namespace, rule); why != "" {
					return why
				}
			}
		}
		return ""
	})
	return kubeconfig
}

// mayNot is what a rule allows and the API server does not; empty if it does.
func mayNot(t *testing.T, user, namespace string, rule rbacv1.PolicyRule) string {
	for _, resource := range rule.Resources {
		resource, sub, _ := strings.Cut(resource, "/")
		named := ""
		if len(rule.ResourceNames) > 0 {
			named = rule.ResourceNames[0]
		}
		for _, verb := range rule.Verbs {
			review, err := kube().AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Verb: verb, Group: rule.APIGroups[0], Resource: resource, Subresource: sub, Name: named,
				}},
			}, metav1.CreateOptions{})
			switch {
			case err != nil:
				return err.Error()
			case !review.Status.Allowed:
				return fmt.Sprintf("%s may not %s %s", user, verb, resource)
			}
		}
	}
	return ""
}

// grantedWithout is granted without the rules for one resource.
func grantedWithout(t *testing.T, user, file, kind, resource string) string {
	t.Helper()
	found := false
	kubeconfig := grantedChanged(t, user, file, func(r *rbacv1.Role) {
		if r.Kind == kind {
			before := len(r.Rules)
			r.Rules = slices.DeleteFunc(r.Rules, func(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, resource) })
			found = len(r.Rules) < before
		}
	})
	if !found {
		t.Fatalf("the %s of %s has no rule for %s", kind, file, resource)
	}
	return kubeconfig
}

// grantedWithoutVerb is granted without one verb on one resource.
func grantedWithoutVerb(t *testing.T, user, file, resource, verb string) string {
	t.Helper()
	found := false
	kubeconfig := grantedChanged(t, user, file, func(r *rbacv1.Role) {
		for i, rule := range r.Rules {
			if slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, verb) {
				r.Rules[i].Verbs, found = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb }), true
			}
		}
	})
	if !found {
		t.Fatalf("%s has no rule to %s %s", file, verb, resource)
	}
	return kubeconfig
}

// grantedChanged makes the roles of a file under names of their own, changed, and gives them to a
// new user.
func grantedChanged(t *testing.T, user, file string, change func(*rbacv1.Role)) string {
	t.Helper()
	roles := documented(t, file)
	for i := range roles {
		r := &roles[i]
		r.Name += "-" + user
		change(r)
		var err error
		if r.Namespace == "" {
			_, err = kube().RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: r.ObjectMeta, Rules: r.Rules},
				metav1.CreateOptions{})
		} else {
			_, err = kube().RbacV1().Roles(r.Namespace).Create(t.Context(), r, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return bound(t, user, roles)
}

// TestRoles has each command run by somebody who has the role of docs/rbac for it, and nothing
// else: everything is done and seen. Without one of its rules it is said which right is missing.
func TestRoles(t *testing.T) {
	begin(t, manifests.Default())
	c := &healthyCluster{withTalos: startTalos(t, talosnode.Options{})}
	n := node(t, "worker-2")
	d := addDisk(t, n, cluster.Disk{})
	c.sync(t)
	pv := pvName(d.Name, n.Name(), blockClass)
	as := func(t *testing.T, kubeconfig string, args ...string) result {
		t.Helper()
		cmd := c.command(args...)
		cmd.kubeconfig = kubeconfig
		r := cmd.run(t)
		for _, text := range []string{"forbidden", "may not", "error[TD0101]", " TD0101"} {
			if strings.Contains(r.stdout+r.stderr, text) {
				t.Errorf("it says %q\n%s", text, r)
			}
		}
		return r
	}
	for _, step := range []struct {
		file string
		do   func(t *testing.T, kubeconfig string)
	}{
		{"mounts", func(t *testing.T, k string) { as(t, k, "mounts", "--yes").wantCode(t, 0) }},
		{"mounts-list", func(t *testing.T, k string) { as(t, k, "mounts", "list").wantCode(t, 0) }},
		{"link", func(t *testing.T, k string) {
			as(t, k, linkArgs(d.Name, "--nodes", n.Name())...).wantCode(t, 0)
			blockPod(t)
			waitReady(t, "reader")
		}},
		{"disks", func(t *testing.T, k string) {
			r := as(t, k, "disks", d.Name, "--nodes", n.Name()).wantCode(t, 0)
			if row := table(r.stdout)[1]; !slices.Equal(row[6:],
				[]string{classDirs[blockClass] + "/" + d.Name, pv, "Bound", "default/device", "reader"}) {
				t.Errorf("row %q", row)
			}
		}},
		{"layout", func(t *testing.T, k string) {
			r := as(t, k, "layout", "--nodes", n.Name()).wantCode(t, 0)
			if want := "name: " + d.Name; !strings.Contains(r.stdout, want) && !strings.Contains(r.stdout, "block-storage-1: {") {
				t.Errorf("%s is not bound\n%s", d.Name, r)
			}
		}},
		{"diff", func(t *testing.T, k string) {
			file := writeFile(t, as(t, k, "layout").wantCode(t, 0).stdout)
			if r := as(t, k, "diff", "-f", file); r.code != 0 && r.code != 2 && r.code != 3 || !strings.Contains(r.stdout, "block-storage") {
				t.Errorf("no class is compared\n%s", r)
			}
		}},
		{"values", func(t *testing.T, k string) {
			file := writeFile(t, "apiVersion: talosdisk.dev/v1alpha1\nkind: DiskLayout\nmetadata: {name: x}\nspec:\n  nodes: {names: ['*']}\n"+
				"  classes: [{name: block-storage, volumeMode: Block, disks: {count: 1}}]\n")
			if r := as(t, k, "values", "-f", file, "--diff"); r.code == 1 || !strings.Contains(r.stdout, "block-storage") {
				t.Errorf("no class is compared\n%s", r)
			}
		}},
		{"doctor", func(t *testing.T, k string) {
			for _, args := range [][]string{{"pod/reader"}, {"pvc/device"}, {"pv/" + pv}, {"node/worker-2"}, {"-l", "app!=x"}, {}} {
				r := as(t, k, append([]string{"doctor", "-o", "json"}, args...)...)
				if d := r.diagnosis(t); r.code != 0 || len(d.Findings) > 0 || len(d.unknown()) > 0 {
					t.Errorf("exit code %d, %d findings\n%s", r.code, len(d.Findings), brief(r, d))
				}
			}
		}},
		{"status", func(t *testing.T, k string) {
			r := as(t, k, "status").wantCode(t, 0)
			want := []string{n.Name(), d.Name, blockClass, classDirs[blockClass] + "/" + d.Name, "ok", "ok", "ok", "default/device", "reader", "-"}
			if rows := table(r.stdout); len(rows) != 2 || !slices.Equal(rows[1], want) {
				t.Errorf("rows %q, want %q", rows, want)
			}
		}},
		{"unlink", func(t *testing.T, k string) {
			kubectl(t, nil, "delete", "pod/reader", "pvc/device", "--grace-period=1")
			volumeInPhase(t, pv, corev1.VolumeAvailable)
			as(t, k, "unlink", d.Name, "--yes").wantCode(t, 0)
			if got := links(t, n); len(got) > 0 {
				t.Errorf("links: %q", got)
			}
		}},
		{"completion", func(t *testing.T, k string) {
			if r := as(t, k, "__complete", "disks", "--nodes", ""); !strings.Contains(r.stdout, "worker-3") {
				t.Errorf("no nodes\n%s", r)
			}
		}},
	} {
		files := []string{step.file}
		if step.file == "doctor" { // TestRoleForSizes has it without.
			files = append(files, "sizes")
		}
		if !t.Run(step.file, func(t *testing.T) { step.do(t, granted(t, "only-"+step.file, files...)) }) {
			t.FailNow() // Each needs what the one before has done.
		}
	}

	for _, test := range []struct {
		file, kind, resource string
		args                 []string
		// says is part of what is told of the right, and code how it ends.
		says string
		code int
	}{
		{"disks", "Role", "pods/exec", []string{"disks"}, "create pods/exec", 1},
		{"link", "Role", "configmaps", linkArgs(d.Name), "get configmaps", 1},
		{"unlink", "ClusterRole", "daemonsets", []string{"unlink", d.Name}, "list daemonsets.apps", 1},
		{"mounts", "ClusterRole", "nodes", []string{"mounts", "--yes"}, "nodes", 1},
		{"mounts-list", "ClusterRole", "daemonsets", []string{"mounts", "list"}, "list daemonsets.apps", 1},
		{"doctor", "ClusterRole", "persistentvolumeclaims", []string{"doctor"}, "list persistentvolumeclaims", 3},
		{"doctor", "Role", "pods/log", []string{"doctor"}, "get pods/log", 3},
		{"status", "ClusterRole", "events", []string{"status"}, "list events", 3},
	} {
		t.Run(test.file+" without "+strings.ReplaceAll(test.resource, "/", "-"), func(t *testing.T) {
			user := "no-" + strings.ReplaceAll(test.resource, "/", "-") + "-" + test.file
			cmd := c.command(test.args...)
			cmd.kubeconfig = grantedWithout(t, user, test.file, test.kind, test.resource)
			r := cmd.run(t).wantCode(t, test.code)
			if !strings.Contains(r.stdout+r.stderr, test.says) {
				t.Errorf("it does not say %q\n%s", test.says, r)
			}
		})
	}
}

// TestRoleForSizes has doctor know what a filesystem in a pod measures, with the optional role
// and not without.
func TestRoleForSizes(t *testing.T) {
	begin(t, manifests.Default())
	c := &healthyCluster{withTalos: startTalos(t, talosnode.Options{})}
	n := node(t, "worker-2")
	d, _ := mountDisk(t, n)
	c.run("mounts", "--yes").wantCode(t, 0)
	c.sync(t)
	volume(t, pvName(d.Name, n.Name(), filesClass))
	filesPod(t)
	waitReady(t, "writer")
	for _, test := range []struct {
		user  string
		files []string
		// outcomes are those that TD0708 may have. Whether it has been measured so soon is
		// the kubelet's affair.
		outcomes []string
	}{
		{"sizes", []string{"doctor", "sizes"}, []string{"not-applicable", "ok"}},
		{"no-sizes", []string{"doctor"}, []string{"unknown"}},
	} {
		t.Run(test.user, func(t *testing.T) {
			cmd := c.command("doctor", "pod/writer", "-o", "json")
			cmd.kubeconfig = granted(t, test.user, test.files...)
			r := cmd.run(t)
			d := r.diagnosis(t)
			missing := slices.ContainsFunc(d.Findings, func(f finding) bool { return f.Code == "TD0101" })
			if missing != slices.Contains(test.outcomes, "unknown") || len(d.errors()) > 0 {
				t.Errorf("TD0101 %t, want %t\n%s", missing, !missing, brief(r, d))
			}
			if !slices.ContainsFunc(d.Results, func(r struct{ Code, Subject, Outcome, Why string }) bool {
				return r.Code == "TD0708" && slices.Contains(test.outcomes, r.Outcome)
			}) {
				t.Errorf("TD0708 is not %q\n%s", test.outcomes, brief(r, d))
			}
		})
	}
	again(t, getPod(t, "writer"))
}
