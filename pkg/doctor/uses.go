// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"maps"
	"slices"
)

// uses are the parts of a snapshot that checks take in beside those that they need. A test
// takes all others away, and holds the answers together.
func uses() map[Code][]Need {
	used := make(map[Code][]Need)
	for _, room := range []map[Code][]Need{usesOfAccess(), usesOfProvisioner(), usesOfShared(), usesOfHost(), usesOfSelectors(), usesOfKubelet(), usesOfLinks(), usesOfVolumes(), usesOfPods(), usesOfWaiting()} {
		maps.Copy(used, room)
	}
	return used
}

// usesOfAccess: these checks are about what could not be read, and so about every part that
// comes from Kubernetes, or from Talos.
func usesOfAccess() map[Code][]Need {
	talos := []Need{NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosDisks, NeedTalosVolumes, NeedTalosMounts, NeedTalosDevices, NeedSelections}
	return map[Code][]Need{
		"TD0101": {NeedNodes, NeedInstall, NeedVolumes, NeedStorageClasses, NeedClaims, NeedPods, NeedEvents, NeedProvisioner, NeedPod, NeedView, NeedStats},
		"TD0102": append([]Need{NeedNodes}, talos...), "TD0103": talos, "TD0104": talos, "TD0105": talos,
		"TD0107": {NeedTalos}, // Which tells how the kubelet does.
	}
}

func usesOfProvisioner() map[Code][]Need {
	return map[Code][]Need{
		"TD0201": {NeedInstall}, // Which it is about: why there is none.
		"TD0202": {NeedProvisioner, NeedEvents, NeedPod},
		"TD0203": {NeedProvisioner, NeedPod, NeedVolumes, NeedEvents},
		"TD0204": {NeedProvisioner, NeedPod},
		"TD0205": {NeedPod},
		"TD0211": {NeedNodes, NeedView, NeedVolumes},
		"TD0213": {NeedNodes, NeedView},
		"TD0214": {NeedInstall, NeedProvisioner, NeedPod},
		"TD0216": {NeedPod, NeedView, NeedStorageClasses, NeedVolumes},
	}
}

func usesOfHost() map[Code][]Need {
	// Each of those who look tells of a path whether it is there; the others are who suffers.
	looks := []Need{NeedInstall, NeedView, NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosVolumes, NeedTalosMounts, NeedPods}
	return map[Code][]Need{
		"TD0301": looks,
		"TD0302": looks,
		"TD0303": {NeedVolumes, NeedPods, NeedKubeletConfig, NeedSelections},
		"TD0304": {NeedVolumes, NeedPods},
		"TD0305": {NeedVolumes, NeedPods},
		"TD0306": {NeedInstall, NeedVolumes, NeedKubeletConfig, NeedTalosVolumes},
	}
}

func usesOfKubelet() map[Code][]Need {
	// One look at a node tells all that is wrong with its kubelet: which directories it
	// must see, what it sees of them, and who suffers.
	look := []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts}
	used := make(map[Code][]Need)
	for _, c := range kubeletChecks() {
		if c.Code != "TD0409" { // It only reads what is configured.
			used[c.Code] = slices.DeleteFunc(slices.Clone(look), func(n Need) bool { return slices.Contains(c.Needs, n) })
		}
	}
	for _, code := range []Code{"TD0401", "TD0411"} { // Where nobody looked, the node may have the directory all the same.
		used[code] = append(used[code], NeedTalosMounts)
	}
	return used
}

func usesOfLinks() map[Code][]Need {
	// Of a pod or a claim it is the volume that leads to the entry.
	// Talos tells which names several disks have.
	return map[Code][]Need{
		"TD0501": {NeedVolumes, NeedPod, NeedTalosDisks},
		"TD0502": {NeedPod, NeedTalosDisks},
		"TD0503": {NeedVolumes, NeedPod},
		"TD0504": {NeedVolumes, NeedTalosDisks},
		"TD0505": {NeedVolumes, NeedPod, NeedClaims},
		"TD0506": {NeedVolumes, NeedPod, NeedTalosDisks, NeedTalosMounts},
		"TD0507": {NeedPod, NeedProvisioner},
		"TD0508": {NeedPod, NeedTalosDisks},
	}
}

func usesOfVolumes() map[Code][]Need {
	used := map[Code][]Need{
		"TD0601": {NeedEvents},
		// How its cleaner does is said in the provisioner's log, and by the Jobs that it has.
		"TD0608": {NeedInstall, NeedNodes, NeedPod, NeedProvisioner},
		"TD0609": {NeedInstall, NeedNodes, NeedPod, NeedView, NeedProvisioner, NeedClaims},
		"TD0610": {NeedInstall, NeedPod, NeedClaims},
		"TD0611": {NeedInstall, NeedEvents},
		"TD0614": {NeedEvents, NeedVolumes},
	}
	// The nodes are those that the pod can go to, and the classes those of local volumes.
	for _, code := range []Code{"TD0602", "TD0603", "TD0604", "TD0605", "TD0606", "TD0607"} {
		used[code] = []Need{NeedNodes, NeedInstall}
	}
	used["TD0606"] = append(slices.Clone(used["TD0606"]), NeedPod, NeedProvisioner)
	return used
}

func usesOfPods() map[Code][]Need {
	used := map[Code][]Need{
		"TD0701": {NeedVolumes, NeedInstall, NeedStorageClasses, NeedEvents},
		"TD0702": {NeedEvents, NeedNodes, NeedClaims},
		"TD0708": {NeedClaims, NeedEvents, NeedTalosVolumes, NeedKubeletConfig},
	}
	// Whether the volume is a local one, and what it is called; where the kubelet is, and
	// since when it runs.
	for _, code := range []Code{"TD0703", "TD0704", "TD0705", "TD0706", "TD0707", "TD0710", "TD0711"} {
		used[code] = []Need{NeedClaims, NeedVolumes, NeedInstall, NeedStorageClasses, NeedNodes}
	}
	// Who has a disk that the kubelet cannot open.
	for _, code := range []Code{"TD0703", "TD0704", "TD0710", "TD0711"} {
		used[code] = append(used[code], NeedView, NeedTalosDisks, NeedTalosMounts)
	}
	return used
}
