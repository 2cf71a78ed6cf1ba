// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// right is one thing that a user may do: everywhere, or, of namespaced
// resources, in the provisioner's namespace.
type right struct{ verb, group, resource string }

func (r right) String() string { return r.verb + " " + r.resource }

// needed are what the help texts of link and unlink say that they need, and no
// more.
func needed() []right {
	return []right{
		{"list", "apps", "daemonsets"},
		{"list", "", "nodes"},
		{"list", "", "persistentvolumes"},
		{"list", "storage.k8s.io", "storageclasses"},
		{"list", "", "pods"},
		{"get", "", "configmaps"},
		{"create", "", "pods/exec"},
		{"get", "", "namespaces"},
		{"watch", "", "persistentvolumes"},
		{"patch", "", "persistentvolumes"},
		{"get", "", "persistentvolumes"},
		{"delete", "", "persistentvolumes"},
	}
}

// userWithout is the kubeconfig of a user with all needed rights but one.
func userWithout(t *testing.T, without right) (user, kubeconfig string) {
	t.Helper()
	rights := slices.DeleteFunc(needed(), func(r right) bool { return r == without })
	user = "without-" + strings.NewReplacer(" ", "-", "/", "-").Replace(without.String())
	role := &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-" + user},
	}
	for _, r := range rights {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{Verbs: []string{r.verb}, APIGroups: []string{r.group}, Resources: []string{r.resource}})
	}
	binding := &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-" + user},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
	}
	api := kube().RbacV1()
	t.Cleanup(func() {
		for _, err := range []error{
			api.ClusterRoles().Delete(withoutEnd(t), role.Name, metav1.DeleteOptions{}),
			api.ClusterRoleBindings().Delete(withoutEnd(t), binding.Name, metav1.DeleteOptions{}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := api.ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := theCluster.KubeconfigFor(user)
	if err != nil {
		t.Fatal(err)
	}
	// The authorizer learns of roles a little later.
	eventually(t, 10*time.Second, func() string {
		for _, r := range needed() {
			resource, sub, _ := strings.Cut(r.resource, "/")
			review, err := kube().AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: r.verb, Group: r.group, Resource: resource, Subresource: sub,
				}},
			}, metav1.CreateOptions{})
			if err != nil {
				return err.Error()
			}
			if review.Status.Allowed != (r != without) {
				return fmt.Sprintf("%s: allowed %t", r, review.Status.Allowed)
			}
		}
		return ""
	})
	return user, kubeconfig
}

// TestForbidden removes one right at a time. What is missing is named, with
// the rule to add, before anything is touched; what is only written beside a link is
// said after it.
func TestForbidden(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-1")
	linkOf := func(d cluster.Disk) []string {
		return append(linkArgs(d.Name, "--nodes", n.Name()), "--wait-timeout", "15s")
	}
	linked := func(t *testing.T, d cluster.Disk) bool {
		return slices.Contains(links(t, n), "block/"+d.Name+" -> "+byID(d))
	}

	t.Run("nothing is missing", func(t *testing.T) {
		d := addDisk(t, n, cluster.Disk{})
		_, kubeconfig := userWithout(t, right{})
		command{kubeconfig: kubeconfig, args: linkOf(d)}.run(t).wantCode(t, 0)
		command{kubeconfig: kubeconfig, args: []string{"unlink", d.Name, "--yes", "--wait=false"}}.run(t).wantCode(t, 0)
	})

	for _, test := range []struct {
		right
		where string // how the namespace is told
		rule  string
	}{
		{right{"list", "apps", "daemonsets"}, "", "--verb=list --resource=daemonsets.apps"},
		{right{"list", "", "nodes"}, "", "--verb=list --resource=nodes"},
		{right{"list", "", "persistentvolumes"}, "", "--verb=list --resource=persistentvolumes"},
		{right{"list", "storage.k8s.io", "storageclasses"}, "", "--verb=list --resource=storageclasses.storage.k8s.io"},
		{right{"list", "", "pods"}, ` in namespace "local-storage"`, "--verb=list --resource=pods"},
		{right{"get", "", "configmaps"}, ` in namespace "local-storage"`, "--verb=get --resource=configmaps"},
		{right{"create", "", "pods/exec"}, ` in namespace "local-storage"`, "--verb=create --resource=pods/exec"},
		{right{"get", "", "namespaces"}, ` in namespace "local-storage"`, "--verb=get --resource=namespaces"},
		{right{"watch", "", "persistentvolumes"}, "", "--verb=watch --resource=persistentvolumes"},
	} {
		t.Run(test.String(), func(t *testing.T) {
			d := addDisk(t, n, cluster.Disk{})
			user, kubeconfig := userWithout(t, test.right)
			resource := test.resource
			if test.group != "" {
				resource += "." + test.group
			}
			r := command{kubeconfig: kubeconfig, args: linkOf(d)}.run(t)
			r.wantError(t, fmt.Sprintf("user %q may not %s %s%s", user, test.verb, resource, test.where),
				"hint: an administrator can allow it with:", test.rule, "--user="+user)
			if linked(t, d) {
				t.Error("it is linked")
			}
		})
	}

	t.Run("patch persistentvolumes", func(t *testing.T) {
		d := addDisk(t, n, cluster.Disk{})
		user, kubeconfig := userWithout(t, right{"patch", "", "persistentvolumes"})
		r := command{kubeconfig: kubeconfig, args: linkOf(d)}.run(t).wantCode(t, 0)
		r.wantStderr(t, "warning: worker-1/"+d.Name+": the identity of the disk could not be recorded in volume "+
			pvName(d.Name, n.Name(), "block-storage"), user, "--verb=patch --resource=persistentvolumes")
		if got := r.plan(t).of(t, n.Name(), d.Name); got.Result != "created" || !linked(t, d) {
			t.Errorf("result %q, linked %t", got.Result, linked(t, d))
		}
	})

	for _, missing := range []right{{"delete", "", "persistentvolumes"}, {"get", "", "persistentvolumes"}} {
		t.Run(missing.String(), func(t *testing.T) {
			d := addDisk(t, n, cluster.Disk{})
			run(t, linkOf(d)...).wantCode(t, 0)
			user, kubeconfig := userWithout(t, missing)
			r := command{kubeconfig: kubeconfig, args: []string{"unlink", d.Name, "--yes", "--wait=false", "-o", "json"}}.run(t)
			wantNoOutput(t, r.wantError(t, user, "may not "+missing.String(), "--verb="+missing.verb+" --resource=persistentvolumes"))
			if !linked(t, d) {
				t.Errorf("the link is gone\n%s", r)
			}
			volume(t, pvName(d.Name, n.Name(), "block-storage"))
		})
	}
}
