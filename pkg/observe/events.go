// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// kinds are kubectl's words for what events are about.
var kinds = map[string]string{
	"Pod": kindPod, "PersistentVolumeClaim": kindClaim, "PersistentVolume": kindVolume, "Node": kindNode, "DaemonSet": kindDaemonSet,
}

// starting is the reason of a kubelet's event about its own start.
const starting = "Starting"

// eventOf projects an event; false if it has none of the reasons and does not tell when a kubelet started, or is about something
// that no snapshot has. An event of events.k8s.io looks here as if its old fields were not set.
func eventOf(e *corev1.Event, reasons []string) (snapshot.Event, bool) {
	kind, ok := kinds[e.InvolvedObject.Kind]
	if !ok || e.Reason != starting && !slices.Contains(reasons, e.Reason) {
		return snapshot.Event{}, false
	}
	event := snapshot.Event{
		About:   snapshot.Ref{Kind: kind, Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name, UID: e.InvolvedObject.UID},
		Type:    e.Type,
		Reason:  e.Reason,
		Message: e.Message,
		From:    cmp.Or(e.Source.Component, e.ReportingController),
		Host:    e.Source.Host,
		Count:   max(1, int(e.Count)),
		First:   earliest(e.FirstTimestamp.Time, e.EventTime.Time, e.CreationTimestamp.Time),
	}
	if event.Host == "" && event.From == kubelet {
		event.Host = e.ReportingInstance
	}
	event.Last = latest(e.LastTimestamp.Time, e.EventTime.Time, event.First)
	if e.Series != nil {
		event.Count = max(event.Count, int(e.Series.Count))
		event.Last = latest(event.Last, e.Series.LastObservedTime.Time)
	}
	if event.About.Kind == kindNode {
		// The kubelet puts the node's name where others put its UID.
		event.About.Namespace, event.About.UID = "", ""
	}
	return event, true
}

// kubelet is the component that its events come from.
const kubelet = "kubelet"

// earliest of the times that are set.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// merged counts events that say the same as one, and sorts them by what they are
// about, then by time.
func merged(events []snapshot.Event) []snapshot.Event {
	type key struct {
		about                           snapshot.Ref
		typ, reason, message, from, hst string
	}
	at := make(map[key]int)
	all := make([]snapshot.Event, 0, len(events))
	for _, e := range events {
		k := key{e.About, e.Type, e.Reason, e.Message, e.From, e.Host}
		i, ok := at[k]
		if !ok {
			at[k] = len(all)
			all = append(all, e)
			continue
		}
		all[i].Count += e.Count
		all[i].First, all[i].Last = earliest(all[i].First, e.First), latest(all[i].Last, e.Last)
	}
	slices.SortFunc(all, func(a, b snapshot.Event) int {
		return cmp.Or(
			cmp.Compare(a.About.Kind, b.About.Kind), cmp.Compare(a.About.Namespace, b.About.Namespace), cmp.Compare(a.About.Name, b.About.Name),
			a.Last.Compare(b.Last), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message), cmp.Compare(a.From, b.From),
			cmp.Compare(a.Host, b.Host),
		)
	})
	return all
}

// kubeletStart is when a node's kubelet last said that it started; nil: no event says.
func kubeletStart(node string, events []snapshot.Event) *time.Time {
	var at *time.Time
	for _, e := range events {
		if e.About.Kind == kindNode && e.About.Name == node && e.From == kubelet && e.Reason == starting && (at == nil || e.Last.After(*at)) {
			at = &e.Last
		}
	}
	return at
}

// eventList is one list of events to read.
type eventList struct {
	// namespace to read in, or all of them.
	namespace string
	// selector is one of fields; empty: every event.
	selector string
	// of is what the events are about, for an error.
	of string
}

// manyEvents is about how many objects events are asked for by object. About more, those
// of a namespace are listed.
const manyEvents = 32

// eventLists are the lists that have the events about the objects. Those about objects
// of no namespace are in "default" (client-go, tools/record/event.go).
func eventLists(about []snapshot.Ref, all bool) []eventList {
	if all {
		return []eventList{{namespace: metav1.NamespaceAll, of: "events"}}
	}
	var lists []eventList
	spaces := make(map[string]bool)
	for _, r := range about {
		namespace := cmp.Or(r.Namespace, metav1.NamespaceDefault)
		spaces[namespace] = true
		selector := fields.OneTermEqualSelector("involvedObject.uid", string(r.UID))
		if r.Kind == kindNode {
			selector = fields.AndSelectors(fields.OneTermEqualSelector("involvedObject.kind", "Node"),
				fields.OneTermEqualSelector("involvedObject.name", r.Name))
		}
		lists = append(lists, eventList{namespace, selector.String(), fmt.Sprintf("events about %q", r.String())})
	}
	switch {
	case len(about) <= manyEvents:
		return lists
	case len(spaces) > few:
		return []eventList{{namespace: metav1.NamespaceAll, of: "events"}}
	}
	lists = nil
	for _, namespace := range slices.Sorted(maps.Keys(spaces)) {
		lists = append(lists, eventList{namespace: namespace, of: fmt.Sprintf("events in namespace %q", namespace)})
	}
	return lists
}

func (d *observation) listEvents(ctx context.Context, l eventList, f func(snapshot.Event)) error {
	return items(ctx, metav1.ListOptions{FieldSelector: l.selector}, func(o metav1.ListOptions) (runtime.Object, error) {
		return d.Client.CoreV1().Events(l.namespace).List(ctx, o)
	}, func(e *corev1.Event) {
		if event, ok := eventOf(e, d.request.EventReasons); ok {
			f(event)
		}
	})
}

// readEvents reads the events about everything that is observed.
func (d *observation) readEvents(ctx context.Context, about []snapshot.Ref) {
	wanted := make(map[snapshot.Ref]bool, len(about))
	for _, r := range about {
		wanted[identity(r)] = true
	}
	lists := eventLists(about, d.whole)
	var mu sync.Mutex
	var events []snapshot.Event
	problems := exec.Each(ctx, lists, d.Limit, d.Timeout, func(ctx context.Context, l eventList) problem.Problem {
		err := d.listEvents(ctx, l, func(e snapshot.Event) {
			mu.Lock()
			defer mu.Unlock()
			if wanted[identity(e.About)] {
				events = append(events, e)
			}
		})
		if err != nil {
			return problem.Because("%s: %s", l.of, problem.From(err))
		}
		return problem.Problem{}
	})
	problems = slices.DeleteFunc(problems, problem.Problem.IsZero)
	slices.SortFunc(problems, func(a, b problem.Problem) int { return cmp.Compare(a.Message, b.Message) })
	d.s.Events = snapshot.Unread[[]snapshot.Event](problem.Join(problems))
	if len(problems) < max(1, len(lists)) {
		d.s.Events.Value = new(merged(events))
	}
}

// identity is a reference as far as it tells one object from another.
func identity(r snapshot.Ref) snapshot.Ref {
	if r.Kind == kindNode {
		return snapshot.Ref{Kind: kindNode, Name: r.Name}
	}
	return snapshot.Ref{Kind: r.Kind, UID: r.UID}
}

// subjects are the objects whose events count.
func (d *observation) subjects() []snapshot.Ref {
	o := &d.objects
	var refs []snapshot.Ref
	for _, p := range sorted(o.pods) {
		refs = append(refs, snapshot.Ref{Kind: kindPod, Namespace: p.Namespace, Name: p.Name, UID: p.UID})
	}
	for _, c := range sorted(o.claims) {
		refs = append(refs, snapshot.Ref{Kind: kindClaim, Namespace: c.Namespace, Name: c.Name, UID: c.UID})
	}
	for _, v := range sorted(o.volumes) {
		if d.whole || o.wantedVolumes[v.Name] {
			refs = append(refs, snapshot.Ref{Kind: kindVolume, Name: v.Name, UID: v.UID})
		}
	}
	for _, n := range d.s.Nodes {
		if !n.Skipped {
			refs = append(refs, snapshot.Ref{Kind: kindNode, Name: n.Name})
		}
	}
	for _, of := range d.installs {
		i, p := of.install, of.state
		refs = append(refs, snapshot.Ref{Kind: kindDaemonSet, Namespace: i.Namespace, Name: i.Name, UID: p.UID})
		for _, pod := range p.Pods {
			if len(pod.Waiting) > 0 || !pod.Ready {
				refs = append(refs, snapshot.Ref{Kind: kindPod, Namespace: i.Namespace, Name: pod.Name, UID: pod.UID})
			}
		}
	}
	return refs
}
