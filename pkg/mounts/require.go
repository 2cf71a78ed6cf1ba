// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Require is what a kubelet must see so that all of hostDirs can be seen: cleaned and
// sorted, of nested ones the outer. Siblings become their parent, so that one mount
// serves those to come as well, except for a parent that holds what Talos mounts
// itself on that version (as /var and /var/lib do).
//
// It is an error if one is empty or relative.
func Require(v talosrelease.Release, hostDirs []string) ([]string, error) {
	dirs, err := cleanDirs(hostDirs)
	if err != nil {
		return nil, err
	}
	return join(v, dirs, nil), nil
}

// cleanDirs cleans, sorts and takes what is there twice once.
func cleanDirs(hostDirs []string) ([]string, error) {
	dirs := make([]string, 0, len(hostDirs))
	for _, dir := range hostDirs {
		if !path.IsAbs(dir) {
			return nil, failure.New(fmt.Sprintf("hostDir %q is not an absolute path", dir),
				"name the directory on the node in the provisioner's configuration, such as /var/lib/disks")
		}
		dirs = append(dirs, path.Clean(dir))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), nil
}

// join drops what lies in another one and makes siblings their parent. taken are
// the destinations that the kubelet's configuration has already: a parent of one
// of them would nest.
func join(v talosrelease.Release, dirs, taken []string) []string {
	for {
		dirs = outer(dirs)
		parent, ok := parentOfSeveral(v, dirs, taken)
		if !ok {
			return dirs
		}
		dirs = append(dirs, parent)
	}
}

// outer sorts, and leaves out what is or lies below another one.
func outer(dirs []string) []string {
	dirs = slices.Clone(dirs)
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	return slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		return slices.ContainsFunc(dirs, func(o string) bool { return o != dir && below(dir, o) })
	})
}

// parentOfSeveral is a directory that can stand for two or more of its children.
func parentOfSeveral(v talosrelease.Release, dirs, taken []string) (string, bool) {
	children := make(map[string]int, len(dirs))
	for _, dir := range dirs {
		parent := path.Dir(dir)
		if children[parent]++; children[parent] < 2 || parent == dir {
			continue
		}
		_, covered := v.DefaultMountAbove(parent)
		_, holds := v.DefaultMountBelow(parent)
		nests := slices.ContainsFunc(taken, func(t string) bool { return below(t, parent) })
		switch {
		case covered, holds, nests, !below(parent, "/var"), below(parent, varMnt):
		default:
			return parent, true
		}
	}
	return "", false
}

// varMnt is where Talos mounts user volumes (constants.UserVolumeMountPoint, v1.10).
const varMnt = "/var/mnt"

// below reports whether a clean path is dir or lies below it.
func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}
