// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// runner answers in the order of a list, one list of answers for each call, and keeps what it was asked.
type runner struct {
	t     *testing.T
	calls []func(ctx context.Context, jobs []nodescript.Job) []nodescript.Answer
	asked [][]nodescript.Job
}

// Look is a call like Run, with jobs that have no steps.
func (r *runner) Look(ctx context.Context, nodes []string) []nodescript.Answer {
	var jobs []nodescript.Job
	for _, n := range nodes {
		jobs = append(jobs, nodescript.Job{Node: n})
	}
	return r.Run(ctx, jobs)
}

func (r *runner) Run(ctx context.Context, jobs []nodescript.Job) []nodescript.Answer {
	r.asked = append(r.asked, jobs)
	if len(r.asked) > len(r.calls) {
		r.t.Errorf("call %d was not expected: %+v", len(r.asked), jobs)
		return make([]nodescript.Answer, len(jobs))
	}
	all := r.calls[len(r.asked)-1](ctx, jobs)
	for i := range all {
		// Unless a test says otherwise, the node was told every step.
		if !all[i].NotStarted && all[i].Begun == 0 {
			all[i].Begun = len(jobs[i].Steps)
		}
	}
	return all
}

// words are those of a job's first step.
func words(j nodescript.Job) nodescript.Step {
	if len(j.Steps) == 0 {
		return nodescript.Step{"none"}
	}
	return j.Steps[0]
}

// answers gives every job its answer.
func answers(all ...nodescript.Answer) func(context.Context, []nodescript.Job) []nodescript.Answer {
	return func(context.Context, []nodescript.Job) []nodescript.Answer { return all }
}

// step is what link.sh says of one step.
func step(entry, result, detail string) string {
	return "record=step\x1fentry=" + entry + "\x1fresult=" + result + "\x1fdetail=" + detail + "\x1f\x1e"
}

// sees is a probe's answer: links in the class directory, NAME -> TARGET NUMBER.
func sees(linking string, links ...string) nodescript.Answer {
	out := "record=start\x1fversion=1\x1flinking=" + linking + "\x1fmountinfo=1 0 1:1 / /mnt/block rw - xfs x rw\x1f\x1e" +
		"record=dir\x1fclass=block\x1fpath=/mnt/block\x1fexists=yes\x1f\x1e"
	for _, l := range links {
		f := strings.Fields(l)
		out += "record=entry\x1fclass=block\x1fname=" + f[0] + "\x1fkind=link\x1ftarget=" + f[1] + "\x1fdevice=" + f[2] + "\x1f\x1e"
	}
	return nodescript.Answer{Out: out + nodescript.End}
}

func made(entry string, minor uint32) Link {
	l := newLink(snapshot.Node{Name: "w-1"}, blockClass, entry, entry)
	l.Device, l.Target, l.Fingerprint, l.Size = disk.Number{Major: 254, Minor: minor}, "/dev/disk/by-id/"+entry, "f", 60<<30
	return l
}

var classes = []provisioner.Class{blockClass, filesClass}

func TestApply(t *testing.T) {
	p := &Plan{Links: []Link{made("vdb", 16), made("vdc", 32), made("vdd", 48), made("vde", 64)}}
	p.Links[1].Action, p.Links[2].Action, p.Links[3].Action = change.Keep, change.Refuse, change.Skip
	r := &runner{
		t: t,
		calls: []func(context.Context, []nodescript.Job) []nodescript.Answer{answers(nodescript.Answer{
			Out: step("vdb", "created", "") + nodescript.End,
		})},
	}
	Apply(t.Context(), p, classes, r)
	for i, want := range []change.Result{change.Created, change.Unchanged, change.Refused, change.Unknown} {
		if p.Links[i].Result != want {
			t.Errorf("link %d: %s, want %s", i, p.Links[i].Result, want)
		}
	}
	job := r.asked[0][0]
	if want := []string{"link", "vdb", "254:16", "f", "/mnt/block", "vdb", "/dev/disk/by-id/vdb"}; !slices.Equal(words(job), want) ||
		job.Node != "w-1" || len(r.asked[0]) != 1 {
		t.Errorf("steps %q", words(job))
	}
	none := &Plan{Links: []Link{made("x", 1)}}
	none.Links[0].Action = change.Refuse
	Apply(t.Context(), none, classes, &runner{t: t}) // nothing is run
}

func TestApplyResults(t *testing.T) {
	for word, c := range map[string]struct {
		want   change.Result
		detail string
	}{
		"created": {want: change.Created}, "unchanged": {want: change.Unchanged},
		"changed": {want: change.Failed, detail: "device changed: why"},
		"linked":  {want: change.Failed, detail: "the disk was linked meanwhile, as why"},
		"taken":   {want: change.Failed, detail: "the name was taken meanwhile: why"}, "locked": {want: change.Failed, detail: "why"},
		"failed": {want: change.Failed, detail: "why (failed)"}, "": {want: change.Failed, detail: "why ()"},
	} {
		p := &Plan{Links: []Link{made("vdb", 16)}}
		Apply(t.Context(), p, classes, &runner{
			t: t,
			calls: []func(context.Context, []nodescript.Job) []nodescript.Answer{answers(nodescript.Answer{
				Out: step("vdb", word, "why") + nodescript.End,
			})},
		})
		if l := p.Links[0]; l.Result != c.want || c.detail != "" && l.Detail != c.detail {
			t.Errorf("%q: %s, %q", word, l.Result, l.Detail)
		}
	}
}

// An answer that did not come whole says nothing of the steps that are missing.
func TestApplyLooksAgain(t *testing.T) {
	cut := errors.New("connection lost")
	bad := nodescript.Answer{Out: "x"}
	const bTarget, cTarget = "vdb /dev/disk/by-id/vdb 254:16", "vdc /dev/disk/by-id/vdc 254:32"
	for name, c := range map[string]struct {
		first, second nodescript.Answer
		b, c          change.Result
		detail        string
	}{
		"cut after the first, made": {
			first:  nodescript.Answer{Out: step("vdb", "created", ""), Err: cut},
			second: sees("no", bTarget, cTarget),
			b:      change.Created,
			c:      change.Created,
			detail: "seen when looking again: connection lost",
		},
		"cut after the first, not made": {
			first:  nodescript.Answer{Out: step("vdb", "created", ""), Err: cut},
			second: sees("no", bTarget),
			b:      change.Created,
			c:      change.NotDone,
			detail: "seen when looking again",
		},
		"cut, and still at it": {
			first:  nodescript.Answer{Out: step("vdb", "created", ""), Err: cut},
			second: sees("yes", bTarget),
			b:      change.Created,
			c:      change.Unknown,
			detail: "the node may still be at it",
		},
		"cut, whether at it unknown": {
			first:  nodescript.Answer{Out: step("vdb", "created", ""), Err: cut},
			second: sees("unknown", bTarget),
			b:      change.Created,
			c:      change.Unknown,
			detail: "the node may still be at it",
		},
		"still at it, made meanwhile": {
			first:  nodescript.Answer{Err: cut},
			second: sees("yes", bTarget, cTarget),
			b:      change.Created,
			c:      change.Created,
			detail: "seen when looking again",
		},
		"cut in a record": {
			first:  nodescript.Answer{Out: step("vdb", "created", "") + "record=step\x1fentry=vdc\x1fresult=created"},
			second: sees("no", bTarget),
			b:      change.Created,
			c:      change.NotDone,
			detail: "stops in the middle",
		},
		"cut, no error": {
			first:  nodescript.Answer{Out: step("vdb", "created", "")},
			second: sees("no", bTarget, cTarget),
			b:      change.Created,
			c:      change.Created,
			detail: "no end",
		},
		"whole, one step is missing": {
			first:  nodescript.Answer{Out: step("vdb", "created", "") + nodescript.End},
			second: sees("no", bTarget),
			b:      change.Created,
			c:      change.NotDone,
			detail: "the node said nothing of it",
		},
		"whole, and an error": {
			first:  nodescript.Answer{Out: step("vdb", "created", "") + step("vdc", "created", "") + nodescript.End, Err: cut},
			second: nodescript.Answer{},
			b:      change.Created,
			c:      change.Created,
		},
		"an answer for another step": {
			first:  nodescript.Answer{Out: step("vdx", "created", "") + step("vdc", "created", "") + nodescript.End},
			second: sees("no", cTarget),
			b:      change.NotDone,
			c:      change.Created,
		},
		"another link lies there": {
			first:  nodescript.Answer{Err: cut},
			second: sees("no", "vdb /dev/else 1:1", "vdc /dev/disk/by-id/vdc 254:33"),
			b:      change.Failed,
			c:      change.Failed,
		},
		"the second look is not parsed": {
			first:  nodescript.Answer{Err: cut},
			second: bad,
			b:      change.Unknown,
			c:      change.Unknown,
			detail: "connection lost; looking again: ",
		},
		"the second look fails": {
			first:  nodescript.Answer{Err: cut},
			second: nodescript.Answer{Err: errors.New("no pod")},
			b:      change.Unknown,
			c:      change.Unknown,
			detail: "connection lost; looking again: no pod",
		},
		"the second look whole, with error": {
			first:  nodescript.Answer{Err: cut},
			second: nodescript.Answer{Out: sees("no", bTarget, cTarget).Out, Err: cut},
			b:      change.Unknown,
			c:      change.Unknown,
			detail: "looking again: connection lost",
		},
		"the directory is not there": {
			first:  nodescript.Answer{Err: cut},
			second: nodescript.Answer{Out: "record=start\x1fversion=1\x1flinking=no\x1f\x1e" + nodescript.End},
			b:      change.Unknown,
			c:      change.Unknown,
			detail: "the class directory could not be read",
		},
		"the directory is not read": {
			first: nodescript.Answer{Err: cut},
			second: nodescript.Answer{
				Out: "record=start\x1fversion=1\x1flinking=no\x1f\x1erecord=dir\x1fclass=block\x1fpath=/x\x1fexists=yes\x1fproblem=EIO\x1f\x1e" +
					nodescript.End,
			},
			b:      change.Unknown,
			c:      change.Unknown,
			detail: "the class directory could not be read",
		},
		"it never began": {
			first:  nodescript.Answer{Err: errors.New("forbidden"), NotStarted: true},
			second: nodescript.Answer{},
			b:      change.Failed,
			c:      change.Failed,
			detail: "forbidden",
		},
	} {
		p := &Plan{Links: []Link{made("vdb", 16), made("vdc", 32)}}
		r := &runner{t: t, calls: []func(context.Context, []nodescript.Job) []nodescript.Answer{answers(c.first), answers(c.second)}}
		Apply(t.Context(), p, classes, r)
		if p.Links[0].Result != c.b || p.Links[1].Result != c.c {
			t.Errorf("%s: %s and %s, want %s and %s", name, p.Links[0].Result, p.Links[1].Result, c.b, c.c)
		}
		if !strings.Contains(p.Links[1].Detail, c.detail) {
			t.Errorf("%s: %q has no %q", name, p.Links[1].Detail, c.detail)
		}
	}
}

func TestApplyNodesSideBySide(t *testing.T) {
	p := &Plan{Links: []Link{made("vdb", 16), made("vdb", 16), made("vdc", 32)}}
	p.Links[1].Node = "w-2"
	cut := errors.New("cut")
	r := &runner{t: t, calls: []func(context.Context, []nodescript.Job) []nodescript.Answer{
		answers(nodescript.Answer{Out: step("vdb", "created", "") + step("vdc", "created", "") + nodescript.End}, nodescript.Answer{Err: cut}),
		answers(sees("no", "vdb /dev/disk/by-id/vdb 254:16")),
	}}
	Apply(t.Context(), p, classes, r)
	if len(r.asked[0]) != 2 || r.asked[0][1].Node != "w-2" || len(r.asked[1]) != 1 || r.asked[1][0].Node != "w-2" {
		t.Errorf("asked %d, %d nodes", len(r.asked[0]), len(r.asked[1]))
	}
	for i, l := range p.Links {
		if l.Result != change.Created {
			t.Errorf("link %d: %s, %s", i, l.Result, l.Detail)
		}
	}
}

func TestApplyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &Plan{Links: []Link{made("vdb", 16), made("vdc", 32)}}
	p.Links[1].Node = "w-2"
	r := &runner{t: t, calls: []func(context.Context, []nodescript.Job) []nodescript.Answer{
		func(context.Context, []nodescript.Job) []nodescript.Answer {
			cancel()
			return []nodescript.Answer{{Err: context.Canceled}, {Err: context.Canceled, NotStarted: true}}
		},
		func(ctx context.Context, _ []nodescript.Job) []nodescript.Answer {
			if ctx.Err() != nil {
				t.Error("the second look is cancelled, too")
			}
			if d, ok := ctx.Deadline(); !ok || time.Until(d) > time.Minute {
				t.Error("the second look has no end")
			}
			return []nodescript.Answer{sees("no", "vdb /dev/disk/by-id/vdb 254:16")}
		},
	}}
	Apply(ctx, p, classes, r)
	if p.Links[0].Result != change.Created || p.Links[1].Result != change.NotDone || p.Links[1].Detail != "the run ended before it began" {
		t.Errorf("%s, %s (%s)", p.Links[0].Result, p.Links[1].Result, p.Links[1].Detail)
	}
}

// cluster has volumes; get and delete say what happens to them.
type cluster struct {
	get      func(name string) (*snapshot.Volume, error)
	del      func(v snapshot.Volume) error
	feed     []snapshot.Volume
	awaitErr error
	// unlisted makes Await fail before it looked.
	unlisted bool
	record   error
	recorded map[string]disk.ID
	deleted  []string
}

func (c *cluster) Await(_ context.Context, _ []string, listed func(), seen func(snapshot.Volume) bool) error {
	if c.unlisted {
		return c.awaitErr
	}
	listed()
	for _, v := range c.feed {
		if seen(v) {
			return nil
		}
	}
	return c.awaitErr
}

func (c *cluster) Get(_ context.Context, name string) (*snapshot.Volume, error) {
	if c.get == nil {
		return nil, nil
	}
	return c.get(name)
}

func (c *cluster) Record(_ context.Context, v snapshot.Volume, id disk.ID) error {
	if c.recorded == nil {
		c.recorded = make(map[string]disk.ID)
	}
	c.recorded[v.Name] = id
	return c.record
}

func (c *cluster) Delete(_ context.Context, v snapshot.Volume) error {
	c.deleted = append(c.deleted, v.Name)
	if c.del == nil {
		return nil
	}
	return c.del(v)
}

// volumeOfLink is the volume that the provisioner makes of a link.
func volumeOfLink(l Link, change func(*snapshot.Volume)) *snapshot.Volume {
	v := &snapshot.Volume{
		Name:          l.Volume,
		UID:           "pv",
		Path:          l.HostPath,
		Node:          l.Node,
		Class:         l.Class,
		Mode:          provisioner.Block,
		Capacity:      60 << 30,
		Phase:         "Available",
		ReclaimPolicy: "Delete",
	}
	if change != nil {
		change(v)
	}
	return v
}

func TestAwait(t *testing.T) {
	l := made("vdb", 16)
	l.Identity = disk.ID{Serial: "s"}
	id := &disk.ID{Serial: "s"}
	vol := func(change func(*snapshot.Volume)) snapshot.Volume { return *volumeOfLink(l, change) }
	for name, c := range map[string]struct {
		cluster  cluster
		state    string
		detail   string
		recorded bool
		warning  string
	}{
		"available": {cluster: cluster{feed: []snapshot.Volume{vol(nil)}}, state: "Available", recorded: true},
		"bound at once": {
			cluster:  cluster{feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Phase = "Bound" })}},
			state:    "Bound",
			recorded: true,
		},
		"recorded already": {cluster: cluster{feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Identity = id })}}, state: "Available"},
		"not recorded": {
			cluster:  cluster{feed: []snapshot.Volume{vol(nil)}, record: errors.New("forbidden")},
			state:    "Available",
			recorded: true,
			warning:  "could not be recorded in volume " + l.Volume + ": forbidden",
		},
		"pending first": {
			cluster: cluster{
				feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Phase = "" }), vol(func(v *snapshot.Volume) { v.Phase = "Pending" }),
					vol(nil)},
			},
			state:    "Available",
			recorded: true,
		},
		"going first": {
			cluster:  cluster{feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Deleting = true }), vol(nil)}},
			state:    "Available",
			recorded: true,
		},
		"never": {cluster: cluster{}, state: VolumeAwaited, detail: "volume " + l.Volume + " has not appeared"},
		"not looked at": {
			cluster: cluster{awaitErr: errors.New("forbidden")},
			state:   VolumeAwaited,
			detail:  "whether volume " + l.Volume + " appeared is unknown: forbidden",
		},
		"only going": {
			cluster: cluster{feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Deleting = true })}},
			state:   VolumeAwaited,
			detail:  "is being deleted",
		},
		"another path": {
			cluster: cluster{feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Path = "/x" })}},
			state:   VolumeAwaited,
			detail:  "is for /x on node \"w-1\"",
		},
		"another node": {
			cluster: cluster{feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Node = "w-2" })}},
			state:   VolumeAwaited,
			detail:  "on node \"w-2\"",
		},
		"another mode": {
			cluster: cluster{feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Mode = provisioner.Filesystem })}},
			state:   VolumeAwaited,
			detail:  "has volumeMode Filesystem",
		},
		"another capacity": {
			cluster: cluster{feed: []snapshot.Volume{vol(func(v *snapshot.Volume) { v.Capacity++ })}},
			state:   VolumeAwaited,
			detail:  "has a capacity of",
		},
		"somebody else's too": {cluster: cluster{feed: []snapshot.Volume{{Name: "x"}, vol(nil)}}, state: "Available", recorded: true},
	} {
		p := &Plan{Links: []Link{l, l, l}}
		p.Links[0].Result, p.Links[1].Result, p.Links[2].Result = change.Created, change.Refused, change.Unknown
		cl := c.cluster
		Await(t.Context(), p, &cl, func() {})
		got := p.Links[0]
		if got.VolumeState != c.state || (got.Detail == "") != (c.detail == "") || !strings.Contains(got.Detail, c.detail) ||
			(len(cl.recorded) == 1) != c.recorded || !strings.Contains(strings.Join(got.Warnings, ""), c.warning) {
			t.Errorf("%s: %q, %q, %q, recorded %v", name, got.VolumeState, got.Detail, got.Warnings, cl.recorded)
		}
		if c.recorded && cl.recorded[l.Volume].Serial != "s" {
			t.Errorf("%s: recorded %v", name, cl.recorded)
		}
		if p.Links[1].VolumeState != "" || p.Links[2].VolumeState != "" {
			t.Errorf("%s: a link that was not made is waited for", name)
		}
	}
	p := &Plan{Links: []Link{l}}
	p.Links[0].Result = change.Unchanged
	Await(t.Context(), p, &cluster{feed: []snapshot.Volume{vol(nil)}}, func() {})
	if p.Links[0].VolumeState != "Available" {
		t.Errorf("a link that was there: %+v", p.Links[0])
	}
}

// What a run was interrupted before is not what it looked at in vain.
func TestAwaitInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		cluster cluster
		detail  string
		begun   bool
	}{
		"before it looked": {
			cluster: cluster{awaitErr: context.Canceled, unlisted: true},
			detail:  "whether volume local-pv-1 appeared is unknown: the run ended before it was looked for",
		},
		"while it waited": {cluster: cluster{awaitErr: context.Canceled}, detail: "volume local-pv-1 has not appeared", begun: true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := &Plan{Links: []Link{{Volume: "local-pv-1", Result: change.Created}}}
		begun := false
		Await(ctx, p, &c.cluster, func() { begun = true })
		if p.Links[0].Detail != c.detail || begun != c.begun {
			t.Errorf("%s: %q, begun %t", name, p.Links[0].Detail, begun)
		}
	}
}

func TestUnlink(t *testing.T) {
	l := made("vdb", 16)
	l.Action = change.Remove
	gone, back := answers(nodescript.Answer{Out: step("vdb", "removed", "") + nodescript.End}),
		answers(nodescript.Answer{Out: step("vdb", "restored", "") + nodescript.End})
	get := func(change func(*snapshot.Volume)) func(string) (*snapshot.Volume, error) {
		return func(string) (*snapshot.Volume, error) { return volumeOfLink(l, change), nil }
	}
	type calls = []func(context.Context, []nodescript.Job) []nodescript.Answer
	for name, c := range map[string]struct {
		calls   calls
		cluster cluster
		want    change.Result
		detail  string
		state   string
		deleted bool
	}{
		"no volume":     {calls: calls{gone}, cluster: cluster{}, want: change.Unlinked, state: "none"},
		"a free volume": {calls: calls{gone}, cluster: cluster{get: get(nil)}, want: change.Unlinked, state: "deleted", deleted: true},
		"was gone": {
			calls:   calls{answers(nodescript.Answer{Out: step("vdb", "absent", "") + nodescript.End})},
			cluster: cluster{get: get(nil)},
			want:    change.Unlinked,
			state:   "deleted",
			deleted: true,
		},
		"another's volume": {
			calls:   calls{gone},
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Path = "/x" })},
			want:    change.Unlinked,
			state:   "none",
		},
		"another node's": {
			calls:   calls{gone},
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Node = "w-2" })},
			want:    change.Unlinked,
			state:   "none",
		},
		"another link": {
			calls:   calls{answers(nodescript.Answer{Out: step("vdb", "changed", "x") + nodescript.End})},
			cluster: cluster{get: get(nil)},
			want:    change.Failed,
			detail:  "device changed: x",
		},
		"bound meanwhile": {
			calls:   calls{gone, back},
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Phase = "Bound" })},
			want:    change.Refused,
			detail:  "is bound to a claim; the link is back",
		},
		"claimed meanwhile": {
			calls:   calls{gone, back},
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Claim = &snapshot.ClaimRef{Namespace: "n", Name: "c"} })},
			want:    change.Refused,
			detail:  "is for claim n/c; the link is back",
		},
		"changed meanwhile": {
			calls:   calls{gone, back},
			cluster: cluster{get: get(nil), del: func(snapshot.Volume) error { return fmt.Errorf("x: %w", ErrChanged) }},
			want:    change.Refused,
			detail:  "changed while it was deleted; the link is back",
			deleted: true,
		},
		"not to be read": {
			calls:   calls{gone, back},
			cluster: cluster{get: func(string) (*snapshot.Volume, error) { return nil, errors.New("forbidden") }},
			want:    change.Failed,
			detail:  "could not be read: forbidden; the link is back",
		},
		"not to be deleted": {
			calls:   calls{gone, back},
			cluster: cluster{get: get(nil), del: func(snapshot.Volume) error { return errors.New("forbidden") }},
			want:    change.Failed,
			detail:  "could not be deleted: forbidden; the link is back",
			deleted: true,
		},
		"back by somebody": {
			calls:   calls{gone, answers(nodescript.Answer{Out: step("vdb", "unchanged", "") + nodescript.End})},
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Phase = "Bound" })},
			want:    change.Refused,
			detail:  "the link is back",
		},
		"not back": {
			calls:   calls{gone, answers(nodescript.Answer{Out: step("vdb", "linked", "/x") + nodescript.End})},
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Phase = "Bound" })},
			want:    change.Failed,
			detail:  "the link could not be put back: the disk was linked meanwhile, as /x",
		},
		"back, not seen": {
			calls:   calls{gone, answers(nodescript.Answer{Err: errors.New("cut")}), answers(sees("no", "vdb /dev/disk/by-id/vdb 254:16"))},
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Phase = "Bound" })},
			want:    change.Refused,
			detail:  "the link is back",
		},
		"cut, gone": {
			calls:   calls{answers(nodescript.Answer{Err: errors.New("cut")}), answers(sees("no"))},
			cluster: cluster{get: get(nil)},
			want:    change.Unlinked,
			state:   "deleted",
			deleted: true,
		},
		"cut, there": {
			calls:   calls{answers(nodescript.Answer{Err: errors.New("cut")}), answers(sees("no", "vdb /dev/disk/by-id/vdb 254:16"))},
			cluster: cluster{get: get(nil)},
			want:    change.NotDone,
			detail:  "cut",
		},
		"cut, going on": {
			calls:   calls{answers(nodescript.Answer{Err: errors.New("cut")}), answers(sees("yes", "vdb /dev/disk/by-id/vdb 254:16"))},
			cluster: cluster{get: get(nil)},
			want:    change.Unknown,
			detail:  "may still be at it",
		},
		"cut, another": {
			calls:   calls{answers(nodescript.Answer{Err: errors.New("cut")}), answers(sees("no", "vdb /dev/x 1:1"))},
			cluster: cluster{get: get(nil)},
			want:    change.Failed,
			detail:  "cut",
		},
		"cut, not looked": {
			calls:   calls{answers(nodescript.Answer{Err: errors.New("cut")}), answers(nodescript.Answer{Err: errors.New("no pod")})},
			cluster: cluster{get: get(nil)},
			want:    change.Unknown,
			detail:  "no pod",
		},
		"never began": {
			calls:   calls{answers(nodescript.Answer{Err: errors.New("no pod"), NotStarted: true})},
			cluster: cluster{get: get(nil)},
			want:    change.Failed,
			detail:  "no pod",
		},
		"locked": {
			calls:   calls{answers(nodescript.Answer{Out: step("vdb", "locked", "busy") + nodescript.End})},
			cluster: cluster{get: get(nil)},
			want:    change.Failed,
			detail:  "busy",
		},
	} {
		p := &Plan{Links: []Link{l, l, l}}
		p.Links[1].Action, p.Links[2].Action = change.Refuse, change.Skip
		r, cl := &runner{t: t, calls: c.calls}, c.cluster
		Unlink(t.Context(), p, classes, r, &cl)
		got := p.Links[0]
		if got.Result != c.want || !strings.Contains(got.Detail, c.detail) || got.VolumeState != c.state || (len(cl.deleted) == 1) != c.deleted {
			t.Errorf("%s: %s, %q, volume %q, deleted %v", name, got.Result, got.Detail, got.VolumeState, cl.deleted)
		}
		if len(r.asked) != len(c.calls) {
			t.Errorf("%s: %d of %d calls", name, len(r.asked), len(c.calls))
		}
		if want := []string{"unlink", "/mnt/block", "vdb", "/dev/disk/by-id/vdb"}; !slices.Equal(words(r.asked[0][0]), want) {
			t.Errorf("%s: steps %q", name, words(r.asked[0][0]))
		}
		if p.Links[1].Result != change.Refused || p.Links[2].Result != change.Unknown {
			t.Errorf("%s: refused is %s, skipped is %s", name, p.Links[1].Result, p.Links[2].Result)
		}
	}
}

// The link comes back although the run was interrupted just then.
func TestUnlinkInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &Plan{Links: []Link{made("vdb", 16)}}
	p.Links[0].Action = change.Remove
	r := &runner{t: t, calls: []func(context.Context, []nodescript.Job) []nodescript.Answer{
		answers(nodescript.Answer{Out: step("vdb", "removed", "") + nodescript.End}),
		func(ctx context.Context, jobs []nodescript.Job) []nodescript.Answer {
			if ctx.Err() != nil || words(jobs[0])[0] != "restore" {
				t.Errorf("%v, %q", ctx.Err(), words(jobs[0]))
			}
			return []nodescript.Answer{{Out: step("vdb", "restored", "") + nodescript.End}}
		},
	}}
	Unlink(ctx, p, classes, r, &cluster{get: func(string) (*snapshot.Volume, error) { cancel(); return nil, context.Canceled }})
	if l := p.Links[0]; l.Result != change.Failed || !strings.HasSuffix(l.Detail, "; the link is back") {
		t.Errorf("%s, %s", l.Result, l.Detail)
	}
}

func TestSettle(t *testing.T) {
	l := made("vdb", 16)
	get := func(change func(*snapshot.Volume)) func(string) (*snapshot.Volume, error) {
		return func(string) (*snapshot.Volume, error) { return volumeOfLink(l, change), nil }
	}
	for name, c := range map[string]struct {
		before  change.Result
		cluster cluster
		want    change.Result
		detail  string
		deleted bool
		waits   bool
	}{
		"nothing was unlinked": {before: change.Refused, cluster: cluster{get: get(nil)}, want: change.Refused},
		"it stays away":        {before: change.Unlinked, cluster: cluster{}, want: change.Unlinked, waits: true},
		"it came back":         {before: change.Unlinked, cluster: cluster{get: get(nil)}, want: change.Unlinked, deleted: true, waits: true},
		"it is going": {
			before:  change.Unlinked,
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Deleting = true })},
			want:    change.Unlinked,
			waits:   true,
		},
		"came back, bound": {
			before:  change.Unlinked,
			cluster: cluster{get: get(func(v *snapshot.Volume) { v.Phase = "Bound" })},
			want:    change.Failed,
			detail:  "the volume came back: ",
			waits:   true,
		},
		"not to be read": {
			before:  change.Unlinked,
			cluster: cluster{get: func(string) (*snapshot.Volume, error) { return nil, errors.New("forbidden") }},
			want:    change.Unlinked,
			detail:  "came back is unknown: forbidden",
			waits:   true,
		},
	} {
		p := &Plan{Links: []Link{l, l}}
		p.Links[0].Result, p.Links[1].Result = c.before, change.Failed
		cl, waited := c.cluster, false
		r := &runner{
			t: t,
			calls: []func(context.Context, []nodescript.Job) []nodescript.Answer{answers(nodescript.Answer{
				Out: step("vdb", "restored", "") + nodescript.End,
			})},
		}
		err := Settle(t.Context(), p, nil, r, &cl, func(_ context.Context, d time.Duration) error {
			waited = d > DiscoveryPeriod
			return nil
		})
		if back := len(r.asked) == 1; back != strings.HasPrefix(c.detail, "the volume came back") {
			t.Errorf("%s: the link was put back: %v", name, back)
		}
		if got := p.Links[0]; err != nil || got.Result != c.want || !strings.Contains(got.Detail, c.detail) ||
			(len(cl.deleted) == 1) != c.deleted || waited != c.waits {
			t.Errorf("%s: %v, %s, %q, deleted %v, waited %v", name, err, got.Result, got.Detail, cl.deleted, waited)
		}
	}
	p := &Plan{Links: []Link{l}}
	p.Links[0].Result = change.Unlinked
	if err := Settle(t.Context(), p, nil, &runner{t: t}, &cluster{},
		func(context.Context, time.Duration) error { return context.Canceled }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
