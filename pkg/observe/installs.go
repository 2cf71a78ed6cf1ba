// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// installation is one of the snapshot's, to be filled in.
type installation struct {
	install provisioner.Install
	// state is in the snapshot if that is asked for.
	state *snapshot.ProvisionerState
	// problem is why its classes are not known.
	problem error
	// own are its pods.
	own []corev1.Pod
}

// listInstallations lists the DaemonSets and finds the provisioners among them. Where only those of the namespace that was
// asked for may be listed, that the others are not known is no error.
func (d *observation) listInstallations(ctx context.Context) ([]*installation, error) {
	r := d.request
	if r.NamedOnly {
		return d.installationsIn(ctx, r.Namespace)
	}
	found, err := d.installationsIn(ctx, metav1.NamespaceAll)
	if err != nil && r.Namespace != "" && apierrors.IsForbidden(err) {
		d.note(snapshot.PartOthers, err)
		found, err = d.installationsIn(ctx, r.Namespace)
	}
	return found, err
}

// installationsIn are the provisioners of a namespace, or of all, sorted by namespace and name.
func (c *Observer) installationsIn(ctx context.Context, namespace string) ([]*installation, error) {
	var found []*installation
	err := items(ctx, metav1.ListOptions{}, func(o metav1.ListOptions) (runtime.Object, error) {
		return c.Client.AppsV1().DaemonSets(namespace).List(ctx, o)
	}, func(ds *appsv1.DaemonSet) {
		for _, i := range provisioner.Detect([]appsv1.DaemonSet{*ds}) {
			found = append(found, &installation{install: i, state: &snapshot.ProvisionerState{
				UID: ds.UID, Desired: int(ds.Status.DesiredNumberScheduled), Ready: int(ds.Status.NumberReady),
			}})
		}
	})
	slices.SortFunc(found, func(a, b *installation) int {
		return cmp.Or(cmp.Compare(a.install.Namespace, b.install.Namespace), cmp.Compare(a.install.Name, b.install.Name))
	})
	return found, err
}

// chooseFrom puts the one installation that there is, or that was asked for, in the first place; the first of them where
// the request is about every one.
func chooseFrom(found []*installation, r Request) ([]*installation, error) {
	named := slices.DeleteFunc(slices.Clone(found), func(in *installation) bool {
		return r.DaemonSet != "" && in.install.Name != r.DaemonSet || r.Namespace != "" && in.install.Namespace != r.Namespace
	})
	switch {
	case len(named) == 0:
		return nil, noInstallation(r)
	case len(named) > 1 && !r.Every:
		several := &SeveralError{}
		for _, in := range named {
			several.Installs = append(several.Installs, in.install)
		}
		return nil, several
	case r.NamedOnly:
		return named, nil
	}
	others := slices.DeleteFunc(slices.Clone(found), func(in *installation) bool { return in == named[0] })
	return append(named[:1:1], others...), nil
}

// noInstallation is that there is no provisioner, or none of that name.
func noInstallation(r Request) error {
	where := "any namespace"
	if r.Namespace != "" {
		where = fmt.Sprintf("namespace %q", r.Namespace)
	}
	what := "DaemonSet that runs the local volume static provisioner"
	if r.DaemonSet != "" {
		what = fmt.Sprintf("DaemonSet %q that runs the local volume static provisioner", r.DaemonSet)
	}
	return problem.WithKind(problem.NoProvisioner, failure.New(fmt.Sprintf("no %s in %s", what, where),
		"install it: https://github.com/kubernetes-sigs/sig-storage-local-static-provisioner; or, if it has another image: --provisioner-namespace NAMESPACE --provisioner DAEMONSET"))
}

// SeveralError is that there are several installations of the provisioner, and the request is about one.
type SeveralError struct{ Installs []provisioner.Install }

// Error names them all.
func (e *SeveralError) Error() string {
	names := make([]string, 0, len(e.Installs))
	for _, i := range e.Installs {
		names = append(names, fmt.Sprintf("%q", key(i.Namespace, i.Name)))
	}
	return "several provisioners: " + strings.Join(names, ", ")
}

// ProblemKind is the kind of problem that a snapshot has of the error.
func (e *SeveralError) ProblemKind() problem.Kind { return problem.SeveralProvisioners }

// readInstallations reads what belongs to the installations that were found, or says why it is not known which there are. The
// first one whose classes are known is the snapshot's if the request is about every one, and the further ones are its Others. Where
// there are targets, those that have a class of theirs are enough.
func (d *observation) readInstallations(ctx context.Context, found []*installation, err error) error {
	r := d.request
	exists := len(found) > 0
	if err == nil {
		found, err = chooseFrom(found, r)
	}
	if err != nil {
		return d.withoutInstall(exists, err)
	}
	found = exec.Each(ctx, found, d.Limit, 0, func(ctx context.Context, in *installation) *installation {
		in.install.Classes, in.problem = d.classesOf(ctx, in.install)
		return in
	})
	if !d.whole {
		names := d.classNames()
		serving := slices.DeleteFunc(slices.Clone(found), func(in *installation) bool {
			return !slices.ContainsFunc(names, func(name string) bool { _, ok := in.install.ClassOf(name); return ok })
		})
		if len(serving) > 0 {
			found = serving
		}
	}
	if r.Every {
		known := slices.DeleteFunc(slices.Clone(found), func(in *installation) bool { return in.problem != nil })
		unread := slices.DeleteFunc(found, func(in *installation) bool { return in.problem == nil })
		found = slices.Concat(known, unread)
	}
	d.installs = found
	if why := found[0].problem; why != nil {
		if err := d.unread(snapshot.PartInstall, why); err != nil {
			return err
		}
	}
	if r.wants(Provisioner) {
		d.readPodSecurity(ctx)
	}
	for i, in := range found {
		state := snapshot.Section[snapshot.ProvisionerState]{}
		if r.wants(Provisioner) {
			state.Value = in.state
		}
		if i == 0 {
			d.s.Install, d.s.Provisioner = in.install, state
			continue
		}
		other := snapshot.Installation{Install: in.install, Provisioner: state}
		if in.problem != nil {
			other.Problem = problem.From(in.problem)
		}
		d.s.Others = append(d.s.Others, other)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { d.readRecords(gctx); return nil })
	g.Go(func() error { return d.readOwnPods(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	d.s.Volumes = sorted(d.objects.volumes)
	if r.Check != nil {
		if err := r.Check(d.s); err != nil {
			return err
		}
	}
	if r.Trust {
		return d.trust(ctx, r, d.s.Install)
	}
	return nil
}

// readPodSecurity reads what the installations' namespaces let pods do.
func (d *observation) readPodSecurity(ctx context.Context) {
	exec.Each(ctx, d.installs, d.Limit, 0, func(ctx context.Context, in *installation) error {
		namespace, err := d.Client.CoreV1().Namespaces().Get(ctx, in.install.Namespace, metav1.GetOptions{})
		if err != nil {
			in.state.PodSecurityProblem = problem.From(err)
			return nil
		}
		in.state.PodSecurity = namespace.Labels[labelPodSecurity]
		return nil
	})
}

// readRecords reads what was recorded of volumes' disks in the namespaces of the installations that are meant.
func (d *observation) readRecords(ctx context.Context) {
	d.records = make(map[string]snapshot.Record)
	var read []string
	meant := d.installs
	if !d.request.NamedOnly {
		meant = meant[:1]
	}
	for _, in := range meant {
		if slices.Contains(read, in.install.Namespace) {
			continue
		}
		read = append(read, in.install.Namespace)
		records, err := kube.Records(ctx, d.Client, in.install.Namespace)
		if err != nil {
			d.note(snapshot.PartRecords, err)
		}
		for name, r := range records {
			if _, there := d.records[name]; !there {
				d.records[name] = r
			}
		}
	}
}

// hostDirs are the directories of the classes of all installations.
func (d *observation) hostDirs() []string {
	dirs := d.s.Install.HostDirs()
	for _, o := range d.s.Others {
		dirs = append(dirs, o.Install.HostDirs()...)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// allOwn are the pods of all installations.
func (d *observation) allOwn() []corev1.Pod {
	var all []corev1.Pod
	for _, in := range d.installs {
		all = append(all, in.own...)
	}
	return all
}

// readOwnPods reads the installations' pods on the nodes that belong to what is observed.
func (d *observation) readOwnPods(ctx context.Context) error {
	errs := exec.Each(ctx, d.installs, d.Limit, 0, d.readPodsOf)
	return d.strictly(errs[0])
}

// readPodsOf reads those of one installation. The error is in its state, too.
func (d *observation) readPodsOf(ctx context.Context, in *installation) error {
	state := in.state
	list := func(node string) ([]corev1.Pod, error) {
		options := metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(in.install.Selector)}
		if node != "" {
			options.FieldSelector = onNode(node)
		}
		var pods []corev1.Pod
		err := items(ctx, options, func(o metav1.ListOptions) (runtime.Object, error) {
			return d.Client.CoreV1().Pods(in.install.Namespace).List(ctx, o)
		}, func(p *corev1.Pod) {
			if controls(in.install.UID, p) {
				pods = append(pods, *p)
			}
		})
		return pods, err
	}
	nodes := d.objects.nodesWanted()
	if d.whole || len(nodes) > few {
		nodes = []string{""}
	}
	var own []corev1.Pod
	for _, node := range nodes {
		pods, err := list(node)
		if err != nil {
			state.PodsProblem = problem.From(err)
			return err
		}
		own = append(own, pods...)
	}
	if !d.whole {
		own = slices.DeleteFunc(own, func(p corev1.Pod) bool { return !d.objects.wantedNodes[p.Spec.NodeName] })
	}
	for p := range own {
		state.Pods = append(state.Pods, ownPodOf(&own[p]))
	}
	slices.SortFunc(state.Pods, func(a, b snapshot.ProvisionerPod) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Name, b.Name))
	})
	in.own = own
	return nil
}

// presences are what an installation has on nodes.
func presences(nodes []snapshot.Node) map[string]snapshot.Presence {
	all := make(map[string]snapshot.Presence, len(nodes))
	for _, n := range nodes {
		all[n.Name] = snapshot.Presence{Pod: n.Pod, Wanted: n.Wanted, View: n.View}
	}
	return all
}
