// SPDX-License-Identifier: Apache-2.0

package kubeletprobe

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// ticks are what the kernel counts processes' times in, per second: USER_HZ, which is
// the same on every architecture that Talos has.
const ticks = 100

// node is the process whose mounts are the node's: Talos's first one, and with v1.14's
// isolation of workloads that of the sandbox in which the container runtime, the kubelet
// and the pods live.
const node = 1

// Parse makes an answer of what the script said. One that is cut short or not
// understood is an error and never a smaller view: what is missing might be the mount
// that matters.
func Parse(out string) (Answer, error) {
	records, err := nodescript.Records(out)
	if err != nil {
		return Answer{}, err
	}
	if len(records) == 0 || records[0].Kind != "start" || records[0].Get("version") != "1" {
		return Answer{}, errors.New("the node's answer does not begin as it should")
	}
	if records[0].Get("self") == "1" {
		return Answer{}, errors.New("the pod does not have the node's processes, as it would with hostPID")
	}
	var all []*process
	for _, r := range records[1:] {
		if all, err = add(all, r); err != nil {
			return Answer{}, err
		}
	}
	if len(all) == 0 || all[0].pid != node || !all[0].whole() {
		return Answer{}, errors.New("the node's answer does not tell of process 1")
	}
	kubelet, err := choose(all[1:])
	if err != nil {
		return Answer{}, err
	}
	if !kubelet.whole() {
		return Answer{}, errors.New("the kubelet restarted while it was looked at; try again")
	}
	answer := Answer{View: view(all[0], kubelet)}
	if boot, err := strconv.ParseInt(records[0].Get("boot"), 10, 64); err == nil {
		if after, err := strconv.ParseInt(kubelet.started, 10, 64); err == nil {
			answer.Started = time.Unix(boot+after/ticks, 0).UTC()
		}
	}
	return answer, nil
}

// process is one process that was looked at.
type process struct {
	pid int
	// started and after are when it started, as was read first and last.
	started, after     string
	exe, config, label string
	// own: it is in the node's own PID namespace, and not in a container's.
	own  bool
	dirs map[string]mounts.DirectoryListing
	// table are its mounts, or the problem.
	table   []mounts.Mount
	problem string
}

// whole tells a process that was looked at to the end, and stayed the same one.
func (p *process) whole() bool { return p.started != "" && p.after == p.started }

// add takes in one record. Those of a process follow that which tells of it.
func add(all []*process, r nodescript.Record) ([]*process, error) {
	pid, err := strconv.Atoi(r.Get("pid"))
	if err != nil {
		return nil, fmt.Errorf("the node's answer has a record %q of no process", r.Kind)
	}
	if r.Kind == "process" {
		return append(all, &process{
			pid: pid, started: r.Get("started"), exe: r.Get("exe"), config: r.Get("config"), label: r.Get("label"),
			own: len(strings.Fields(r.Get("spaces"))) == 1, dirs: make(map[string]mounts.DirectoryListing), problem: "not checked",
		}), nil
	}
	if len(all) == 0 || all[len(all)-1].pid != pid {
		return nil, fmt.Errorf("the node's answer has a record %q out of its place", r.Kind)
	}
	p := all[len(all)-1]
	switch r.Kind {
	case "mounts":
		p.table, p.problem = nil, ""
		if r.Get("code") != "0" {
			p.problem = fmt.Sprintf("the mounts of process %d could not be read", pid)
		} else if p.table, err = mounts.ParseMountinfo([]byte(r.Get("text"))); err != nil {
			p.problem = fmt.Sprintf("the mounts of process %d are not understood: %s", pid, err)
		}
	case "dir":
		p.dirs[r.Get("path")] = listing(r)
	case "after":
		p.after = r.Get("started")
	default:
		return nil, fmt.Errorf("the node's answer has an unknown record %q", r.Kind)
	}
	return all, nil
}

func listing(r nodescript.Record) mounts.DirectoryListing {
	l := mounts.DirectoryListing{Exists: disk.Unknown, Problem: r.Get("problem")}
	switch r.Get("exists") {
	case "yes":
		l.Exists, l.Entries = disk.Yes, r.All("entry")
		slices.Sort(l.Entries)
	case "no":
		l.Exists = disk.No
	}
	return l
}

// choose finds the node's own kubelet: as Talos starts it (v1.6 to v1.14,
// internal/app/machined/pkg/system/services/kubelet.go), and in no container of a pod.
func choose(all []*process) (*process, error) {
	found := slices.DeleteFunc(slices.Clone(all), func(p *process) bool {
		return !p.own || p.exe != "/usr/local/bin/kubelet" || p.config != "/etc/kubernetes/kubelet.yaml"
	})
	// A Talos in a pod has a kubelet that looks the same, except to SELinux.
	if labelled := slices.DeleteFunc(slices.Clone(found),
		func(p *process) bool { return !strings.Contains(p.label, ":kubelet_t:") }); len(labelled) > 0 {
		found = labelled
	}
	switch len(found) {
	case 0:
		if slices.ContainsFunc(all, func(p *process) bool { return p.own && p.exe == "" }) {
			return nil, errors.New("the pod may not look into the kubelet's process")
		}
		return nil, errors.New("no process of the node looks like Talos's kubelet")
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d processes look like the node's kubelet, %d and %d among them", len(found), found[0].pid, found[1].pid)
}

// view puts the two sides together. Mounts are compared, so one side's alone are nothing.
func view(host, kubelet *process) mounts.KubeletView {
	v := mounts.KubeletView{PID: kubelet.pid, Dirs: make(map[string]mounts.BothSides)}
	for dir, listed := range host.dirs {
		v.Dirs[dir] = mounts.BothSides{Host: listed, Kubelet: mounts.DirectoryListing{Exists: disk.Unknown, Problem: "not checked"}}
	}
	for dir, listed := range kubelet.dirs {
		sight, ok := v.Dirs[dir]
		if !ok {
			sight.Host = mounts.DirectoryListing{Exists: disk.Unknown, Problem: "not checked"}
		}
		sight.Kubelet = listed
		v.Dirs[dir] = sight
	}
	for _, p := range []*process{host, kubelet} {
		if p.problem != "" {
			v.MountsProblem = problem.Text(p.problem)
			return v
		}
	}
	v.Host, v.Kubelet = host.table, kubelet.table
	return v
}
