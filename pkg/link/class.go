// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"path"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// ChooseClass is the Block class to link into: the named one, or the only one. A class
// below /dev is none: what is made there is gone with the next boot.
func ChooseClass(install provisioner.Install, name string) (provisioner.Class, error) {
	var blocks, all []string
	for _, c := range install.Classes {
		switch {
		case belowDev(c):
			all = append(all, c.Name+" below /dev")
		case c.Mode == provisioner.Block:
			blocks, all = append(blocks, c.Name), append(all, c.Name)
		default:
			all = append(all, c.Name)
		}
	}
	class, err := chooseClass(install, name, blocks, all)
	if err == nil && belowDev(class) {
		return provisioner.Class{}, failure.New(
			fmt.Sprintf("class %q has hostDir %s: what is below /dev is made by the kernel and udev, and a link there is gone with the next boot",
				class.Name, class.HostDir),
			"choose a class with volumeMode Block and a hostDir that stays: "+list(blocks))
	}
	return class, err
}

// belowDev reports whether a class publishes what lies in the node's /dev.
func belowDev(c provisioner.Class) bool {
	dir := path.Clean(c.HostDir)
	return dir == "/dev" || strings.HasPrefix(dir, "/dev/")
}

// chooseClass is the named class, or the only one of blocks. all are the classes as an error lists them.
func chooseClass(install provisioner.Install, name string, blocks, all []string) (provisioner.Class, error) {
	config := shell.Command("kubectl", "-n", install.Namespace, "get", "configmap", install.ConfigMap, "-o", "yaml")
	if name == "" {
		switch len(blocks) {
		case 1:
			name = blocks[0]
		case 0:
			return provisioner.Class{}, failure.New(
				fmt.Sprintf("provisioner %q has no class with volumeMode Block (classes: %s)", install.Namespace+"/"+install.Name, list(all)), config)
		default:
			return provisioner.Class{}, failure.New(
				fmt.Sprintf("provisioner %q has several classes with volumeMode Block: %s", install.Namespace+"/"+install.Name, list(blocks)),
				"choose one: "+shell.Command("--class", blocks[0]))
		}
	}
	class, ok := install.ClassOf(name)
	switch {
	case !ok:
		return provisioner.Class{}, failure.New(
			fmt.Sprintf("class %q is not in the provisioner's configuration (classes: %s)", name, list(all)), config)
	case class.Mode != provisioner.Block:
		return provisioner.Class{}, failure.New(
			fmt.Sprintf("class %q has volumeMode %s: the kubelet would make a filesystem on a disk linked there", name, class.Mode),
			"choose a class with volumeMode Block: "+list(blocks))
	}
	return class, nil
}

// checkInstall refuses what makes every link of the class useless or harmful.
func checkInstall(s *snapshot.Snapshot, class provisioner.Class) error {
	install := s.Install
	where := fmt.Sprintf("DaemonSet %q", install.Namespace+"/"+install.Name)
	edit := shell.Command("kubectl", "-n", install.Namespace, "edit", "daemonset", install.Name)
	if !install.DevMounted() {
		return failure.New(where+" does not mount the host's /dev, so that no link to a disk leads anywhere in its pods",
			"set mountDevVolume: true in the chart's values, or: "+edit)
	}
	mount, ok := install.MountOf(class.MountDir)
	switch {
	case !ok:
		return failure.New(fmt.Sprintf("%s does not mount the directory of class %q (%s) at %s", where, class.Name, class.HostDir,
			class.MountDir), edit)
	case mount.ReadOnly:
		return failure.New(fmt.Sprintf("%s mounts the directory of class %q read-only", where, class.Name), edit)
	}
	if hostDir := path.Join(mount.HostPath, strings.TrimPrefix(class.MountDir, mount.MountPath)); hostDir != class.HostDir {
		return failure.New(fmt.Sprintf("class %q says hostDir %s, but %s shows %s at its mountDir: the volumes would carry a path that is not theirs",
			class.Name, class.HostDir, where, hostDir),
			edit)
	}
	if _, ok := s.StorageClasses[class.Name]; !ok {
		return failure.New(fmt.Sprintf("class %q has no StorageClass, and the provisioner makes no volumes without one", class.Name),
			fmt.Sprintf("create StorageClass %q with provisioner: kubernetes.io/no-provisioner and volumeBindingMode: WaitForFirstConsumer",
				class.Name))
	}
	return nil
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
