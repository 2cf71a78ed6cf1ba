// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// View is what the node's kubelet sees of the directories, and what the node
// itself does. os:reader may ask; the mounts need os:admin, and without it
// MountsProblem tells so. ErrRestarted: the kubelet did not stay the same one for
// as long as looking took, twice.
func (n *Node) View(ctx context.Context, dirs []string) (mounts.KubeletView, error) {
	view, err := n.look(ctx, dirs)
	if errors.Is(err, ErrRestarted) {
		view, err = n.look(ctx, dirs)
	}
	return view, err
}

func (n *Node) look(ctx context.Context, dirs []string) (mounts.KubeletView, error) {
	pid, err := n.kubeletPID(ctx)
	if err != nil {
		return mounts.KubeletView{}, err
	}
	view := mounts.KubeletView{PID: pid, Dirs: make(map[string]mounts.BothSides, len(dirs))}
	kubelet := tree{list: func(dir string) ([]File, error) {
		return n.List(ctx, fmt.Sprintf("/proc/%d/root%s", pid, dir), 1)
	}}
	for _, dir := range dirs {
		var sight mounts.BothSides
		if sight.Host, err = n.listing(ctx, dir); err != nil {
			return mounts.KubeletView{}, err
		}
		if pid == 0 {
			sight.Kubelet = mounts.DirectoryListing{Exists: disk.Unknown, Problem: "no kubelet runs"}
		} else if sight.Kubelet, err = kubelet.listing(dir); err != nil {
			return mounts.KubeletView{}, err
		}
		view.Dirs[dir] = sight
	}
	if err := n.mounts(ctx, &view); err != nil {
		return mounts.KubeletView{}, err
	}
	// A process that has ended has no directories, and its number may be another's by now.
	if after, err := n.kubeletPID(ctx); err != nil {
		return mounts.KubeletView{}, err
	} else if after != pid {
		return mounts.KubeletView{}, fail(ErrRestarted, "the kubelet restarted while it was looked at", "", "try again")
	}
	return view, nil
}

// listing is what a directory of the node has.
func (n *Node) listing(ctx context.Context, dir string) (mounts.DirectoryListing, error) {
	files, err := n.List(ctx, dir, 1)
	switch {
	case errors.Is(err, ErrNotFound) && strings.HasSuffix(err.Error(), "not a directory"):
		return mounts.DirectoryListing{Exists: disk.No, Problem: fmt.Sprintf("%q is not a directory", dir)}, nil
	case errors.Is(err, ErrNotFound):
		return mounts.DirectoryListing{Exists: disk.No}, nil
	case err != nil:
		return unlisted(err)
	}
	return listed(files), nil
}

// mounts reads the mounts of the kubelet's and of the node's namespace.
func (n *Node) mounts(ctx context.Context, view *mounts.KubeletView) error {
	if view.PID == 0 {
		view.MountsProblem = problem.Text("no kubelet runs")
		return nil
	}
	for _, namespace := range []struct {
		pid int
		to  *[]mounts.Mount
	}{{view.PID, &view.Kubelet}, {1, &view.Host}} {
		content, err := n.Read(ctx, fmt.Sprintf("/proc/%d/mountinfo", namespace.pid))
		if err == nil {
			*namespace.to, err = mounts.ParseMountinfo(content)
		}
		switch {
		case err == nil:
		case decisive(err):
			return err
		default:
			view.Kubelet, view.Host, view.MountsProblem = nil, nil, problem.From(err)
			return nil
		}
	}
	return nil
}

// decisive reports whether err is about the connection and not about one file.
func decisive(err error) bool {
	return slices.ContainsFunc([]error{context.Canceled, context.DeadlineExceeded, ErrUnreachable, ErrTLS, ErrExpired, ErrForwarding},
		func(target error) bool { return errors.Is(err, target) })
}

// tree is a file system that can only be listed. Symlinks are followed here: where
// Talos follows one below /proc/PID/root, an absolute one leads out to the node.
type tree struct {
	list func(dir string) ([]File, error)
	seen map[string][]File
}

// maxLinks is how many symlinks a path may lead through: Linux's number.
const maxLinks = 40

// listing is what dir has. The error is one that another directory would have, too.
func (t *tree) listing(dir string) (mounts.DirectoryListing, error) {
	at, ahead := "", components(dir)
	for links := 0; len(ahead) > 0; {
		name := ahead[0]
		ahead = ahead[1:]
		if name == ".." {
			at = at[:max(0, strings.LastIndexByte(at, '/'))]
			continue
		}
		files, err := t.read(at)
		if err != nil {
			return unlisted(err)
		}
		i := slices.IndexFunc(files, func(f File) bool { return f.Name == name })
		switch {
		case i < 0:
			return mounts.DirectoryListing{Exists: disk.No}, nil
		case files[i].Problem != "":
			return mounts.DirectoryListing{Exists: disk.Unknown, Problem: files[i].Problem}, nil
		case files[i].Symlink:
			if links++; links > maxLinks {
				return mounts.DirectoryListing{Exists: disk.Unknown, Problem: "it leads through too many symlinks"}, nil
			}
			if strings.HasPrefix(files[i].Link, "/") {
				at = ""
			}
			ahead = append(components(files[i].Link), ahead...)
		case !files[i].Dir:
			return mounts.DirectoryListing{Exists: disk.No, Problem: fmt.Sprintf("%q is not a directory", at+"/"+name)}, nil
		default:
			at += "/" + name
		}
	}
	files, err := t.read(at)
	if err != nil {
		return unlisted(err)
	}
	return listed(files), nil
}

// read lists dir, once.
func (t *tree) read(dir string) ([]File, error) {
	if files, ok := t.seen[dir]; ok {
		return files, nil
	}
	files, err := t.list(dir)
	if err == nil {
		if t.seen == nil {
			t.seen = map[string][]File{}
		}
		t.seen[dir] = files
	}
	return files, err
}

func listed(files []File) mounts.DirectoryListing {
	listing := mounts.DirectoryListing{Exists: disk.Yes}
	for _, f := range files {
		listing.Entries = append(listing.Entries, f.Name)
	}
	slices.Sort(listing.Entries)
	return listing
}

// unlisted is a directory that could not be listed. The error is one that another
// directory would have, too.
func unlisted(err error) (mounts.DirectoryListing, error) {
	if decisive(err) || errors.Is(err, ErrDenied) {
		return mounts.DirectoryListing{}, err
	}
	return mounts.DirectoryListing{Exists: disk.Unknown, Problem: err.Error()}, nil
}

// components are a path's names, without those that mean nothing.
func components(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(name string) bool { return name == "" || name == "." })
}
