// SPDX-License-Identifier: Apache-2.0

// Package rights says what a command may not do in Kubernetes, and how an administrator allows it. It asks nobody: pkg/kube
// does, and pkg/cmd knows what each command needs.
package rights

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
)

// Right is what a request to the API server needs.
type Right struct {
	Verb        string `json:"verb"`
	Group       string `json:"group,omitempty"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	// Namespace is where; empty: everywhere, and for what has no namespace.
	Namespace string `json:"namespace,omitempty"`
	// Name is the only object, if it is known before.
	Name string `json:"name,omitempty"`
}

// Qualified is the resource as kubectl's --resource takes it: pods/exec, storageclasses.storage.k8s.io.
func (r Right) Qualified() string {
	resource := r.Resource
	if r.Group != "" {
		resource += "." + r.Group
	}
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	return resource
}

// String is what the right allows: "delete persistentvolumes".
func (r Right) String() string {
	if r.Namespace != "" {
		return fmt.Sprintf("%s %s in namespace %q", r.Verb, r.Qualified(), r.Namespace)
	}
	return r.Verb + " " + r.Qualified()
}

// Refusal is rights that somebody lacks. It is the one place that says so.
type Refusal struct {
	// User is who lacks them, as the API server calls them; empty: it did not say.
	User    string
	Missing []Right
	// Command is the plugin's command that needs them, whose role docs/rbac has; empty: none.
	Command string
}

// Err is the refusal as an error, or nil if nothing is missing.
func (r Refusal) Err() error {
	if len(r.Missing) == 0 {
		return nil
	}
	return failure.New(r.Message(), r.Hint())
}

// Message is one sentence that names all missing rights.
func (r Refusal) Message() string {
	all := make([]string, 0, len(r.Missing))
	for _, m := range r.Missing {
		all = append(all, m.String())
	}
	who := "you"
	if r.User != "" {
		who = fmt.Sprintf("user %q", r.User)
	}
	if len(all) == 1 {
		return who + " may not " + all[0]
	}
	return who + " may not " + strings.Join(all[:len(all)-1], ", ") + ", nor " + all[len(all)-1]
}

// Hint has the commands by which an administrator allows it, a role and its binding for each resource.
func (r Refusal) Hint() string {
	lines := []string{"an administrator can allow it with:"}
	for _, g := range group(r.Missing) {
		lines = append(lines, r.grant(g)...)
	}
	if r.Command != "" && len(r.Missing) > 1 {
		lines = append(lines,
			fmt.Sprintf("or with the role of %q, which has all that it needs: https://github.com/talosdisk/kubectl-talosdisk/blob/main/docs/rbac.md",
				r.Command))
	}
	return strings.Join(lines, "\n")
}

// granted are rights that one rule gives: verbs on a resource.
type granted struct {
	Right
	verbs []string
}

// group puts the verbs on one resource together, in the order in which the resources come.
func group(missing []Right) []granted {
	var groups []granted
	for _, m := range missing {
		i := slices.IndexFunc(groups, func(g granted) bool { return g.Qualified() == m.Qualified() && g.Namespace == m.Namespace })
		if i < 0 {
			groups, i = append(groups, granted{Right: m}), len(groups)
		}
		if !slices.Contains(groups[i].verbs, m.Verb) {
			groups[i].verbs = append(groups[i].verbs, m.Verb)
		}
	}
	return groups
}

func (r Refusal) grant(g granted) []string {
	kind := "clusterrole"
	var in []string
	if g.Namespace != "" {
		kind, in = "role", []string{"-n", g.Namespace}
	}
	role := strings.NewReplacer("/", "-", ".", "-").Replace("talosdisk-" + strings.Join(g.verbs, "-") + "-" + g.Qualified())
	who := "--user=" + cmp.Or(r.User, "USER")
	if account, ok := strings.CutPrefix(r.User, "system:serviceaccount:"); ok {
		who = "--serviceaccount=" + account
	}
	create := append([]string{"kubectl", "create", kind, role}, in...)
	bind := append([]string{"kubectl", "create", kind + "binding", role}, in...)
	return []string{
		shell.Command(append(create, "--verb="+strings.Join(g.verbs, ","), "--resource="+g.Qualified())...),
		shell.Command(append(bind, "--"+kind+"="+role, who)...),
	}
}
