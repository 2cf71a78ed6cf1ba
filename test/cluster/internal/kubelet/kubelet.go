// SPDX-License-Identifier: Apache-2.0

// Package kubelet describes the kubelet of a node: its configuration, and the
// container that it runs in. That container is made as Talos makes it, because
// what a kubelet in a mount namespace of its own cannot see is what the tests
// are about.
package kubelet

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/nodeinit"
)

const (
	// ContainerID is the kubelet's name to runc.
	ContainerID = "kubelet"
	// Bundle is its container's directory in the node. It lies on a tmpfs, and
	// is recreated for every start: what runc creates there to mount on must
	// not be seen by a later kubelet with fewer mounts.
	Bundle = "/run/kubelet"
	// RuncRoot keeps runc's state apart from that of the pods.
	RuncRoot = "/run/runc-kubelet"
	// RuncLog is what runc said when it last started the container.
	RuncLog = Bundle + "/runc.log"

	binary     = "/usr/local/bin/kubelet"
	configDir  = "/etc/kubernetes"
	configFile = configDir + "/kubelet.yaml"
	kubeconfig = configDir + "/kubeconfig-kubelet"
)

// Files written into a node's /etc/kubernetes by the one who has the CA.
const (
	CAFile         = "pki/ca.crt"
	CertFile       = "pki/kubelet.crt"
	KeyFile        = "pki/kubelet.key"
	KubeconfigFile = "kubeconfig-kubelet"
	configName     = "kubelet.yaml"
)

// WriteConfig writes the kubelet's configuration to the directory that the
// node has as /etc/kubernetes.
func WriteConfig(dir string, node layout.NodeInfo, cgroupV2 bool) error {
	never := map[string]string{"imagefs.available": "0%", "memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%"}
	config := map[string]any{
		"apiVersion":    "kubelet.config.k8s.io/v1beta1",
		"kind":          "KubeletConfiguration",
		"address":       node.IP(),
		"authorization": map[string]any{"mode": "Webhook"},
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": filepath.Join(configDir, CAFile)},
		},
		"tlsCertFile":              filepath.Join(configDir, CertFile),
		"tlsPrivateKeyFile":        filepath.Join(configDir, KeyFile),
		"containerRuntimeEndpoint": "unix://" + nodeinit.ContainerdSocket,
		// Debian's containerd cannot be asked for it.
		"cgroupDriver": "cgroupfs",
		// All nodes share one network, where 127.0.0.1:10248 exists once.
		"healthzBindAddress":     node.IP(),
		"resolvConf":             "",
		"failSwapOn":             false,
		"makeIPTablesUtilChains": false,
		// A lower score takes CAP_SYS_RESOURCE.
		"oomScoreAdj": 0,
		// A full disk of the machine is not the tests' business.
		"evictionHard":                never,
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		// The default lies in /usr, which is read-only.
		"volumePluginDir": "/var/lib/kubelet/volumeplugins",
		// A test that deletes a pod waits for this.
		"syncFrequency": "10s",
	}
	if !cgroupV2 {
		// Since 1.35 a kubelet refuses version 1 unless told.
		config["failCgroupV1"] = false
	}
	return layout.WriteJSON(filepath.Join(dir, configName), config)
}

// WriteBundle makes the container's directory below the node's root as the
// machine reaches it. The extra mounts come after those of the Talos release, as
// there.
func WriteBundle(node layout.NodeInfo, talos Release, extra []specs.Mount) error {
	bundle := filepath.Join(node.Root(), Bundle)
	if err := os.RemoveAll(bundle); err != nil {
		return err
	}
	rootfs := filepath.Join(bundle, "rootfs")
	if err := makeRootfs(node.Root(), rootfs); err != nil {
		return err
	}
	for _, m := range extra {
		// Talos makes a source that is not there, with this mode.
		if err := os.MkdirAll(filepath.Join(node.Root(), m.Source), 0o700); err != nil {
			return err
		}
	}
	spec, err := newSpec(node, append(mounts(talos), extra...))
	if err != nil {
		return err
	}
	return layout.WriteJSON(filepath.Join(bundle, "config.json"), spec)
}

// Wrote reports whether the last WriteBundle was for this release and these extra
// mounts.
func Wrote(node layout.NodeInfo, talos Release, extra []specs.Mount) (bool, error) {
	var spec specs.Spec
	err := layout.ReadJSON(filepath.Join(node.Root(), Bundle, "config.json"), &spec)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // It could not even be written.
	}
	return reflect.DeepEqual(spec.Mounts, append(mounts(talos), extra...)), err
}

// makeRootfs makes the image of the container: the links and directories of a
// root, on which /usr and /etc are mounted. It has no /var/lib/disks.
func makeRootfs(nodeRoot, rootfs string) error {
	for _, dir := range []string{"etc", "usr/local/bin", "var/lib", "var/log", "tmp", "root", "opt"} {
		if err := os.MkdirAll(filepath.Join(rootfs, dir), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if link, err := os.Readlink(filepath.Join(nodeRoot, name)); err == nil {
			if err := os.Symlink(link, filepath.Join(rootfs, name)); err != nil {
				return err
			}
		}
	}
	return os.Symlink("/run", filepath.Join(rootfs, "var", "run"))
}

// mounts are those of Talos 1.13 (internal/app/machined/pkg/system/services/kubelet.go,
// from v1.13.3), without what only Talos has, and that of the user volumes as the
// release makes it; and the programs, which are in the image there.
func mounts(talos Release) []specs.Mount {
	bind := func(path string, options ...string) specs.Mount {
		return specs.Mount{Type: "bind", Source: path, Destination: path, Options: options}
	}
	list := []specs.Mount{
		// Not a proc of its own: the node's, where tunables are masked.
		bind("/proc", "rbind", "rw"),
		bind("/dev", "rbind", "rslave", "rw"),
		// A slave, so that the next mount, which is made on it, does not appear
		// on the node once more with every start.
		bind("/sys", "bind", "rslave", "ro"),
		bind("/sys/fs/cgroup", "rbind", "rslave", "rw"),
		bind("/etc/kubernetes", "bind", "rw"),
		bind("/etc/machine-id", "bind", "ro"),
		bind("/etc/os-release", "bind", "ro"),
		bind("/etc/resolv.conf", "bind", "ro"),
		bind("/etc/cni", "bind", "ro"),
		bind("/run", "rbind", "rslave", "rw"),
		bind("/var/lib/containerd", "rbind", "rslave", "rw"),
		bind("/var/lib/kubelet", "rbind", "rshared", "rw"),
		bind("/var/log/containers", "bind", "rw"),
		bind("/var/log/pods", "bind", "rw"),
	}
	if options := talos.userVolumes(); options != nil {
		list = append(list, bind("/var/mnt", options...))
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share"} {
		if _, err := os.Stat(filepath.Join("/usr", dir)); err == nil {
			list = append(list, bind(filepath.Join("/usr", dir), "bind", "ro"))
		}
	}
	for _, name := range []string{"alternatives", "group", "hostname", "hosts", "ld.so.cache", "mke2fs.conf", "nsswitch.conf", "passwd",
		"ssl"} {
		path := filepath.Join("/etc", name)
		if _, err := os.Stat(path); err == nil {
			list = append(list, bind(path, "bind", "ro"))
		}
	}
	return append(list, specs.Mount{
		Type: "bind", Source: filepath.Join(layout.BinDir, "hyper"), Destination: binary, Options: []string{"bind", "ro"},
	})
}

func newSpec(node layout.NodeInfo, mounts []specs.Mount) (*specs.Spec, error) {
	capabilities, err := effectiveCapabilities()
	if err != nil {
		return nil, err
	}
	return &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs"},
		Mounts:  mounts,
		Process: &specs.Process{
			Cwd: "/",
			Env: []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"},
			Args: []string{
				binary,
				"--config=" + configFile,
				"--kubeconfig=" + kubeconfig,
				"--hostname-override=" + node.Name,
				"--node-ip=" + node.IP(),
				"--cert-dir=/var/lib/kubelet/pki",
				"--v=2",
			},
			Capabilities: &specs.LinuxCapabilities{
				Bounding: capabilities, Effective: capabilities, Permitted: capabilities, Inheritable: capabilities,
			},
		},
		// The network, the processes, the host name and the cgroups are the
		// node's.
		Linux: &specs.Linux{
			Namespaces:        []specs.LinuxNamespace{{Type: specs.MountNamespace}},
			RootfsPropagation: "shared",
			CgroupsPath:       "/podruntime/kubelet",
			Resources: &specs.LinuxResources{
				Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}},
			},
		},
	}, nil
}

// effectiveCapabilities names what this process may do: runc cannot give what
// its caller does not have.
func effectiveCapabilities() ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	var bits uint64
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			if bits, err = strconv.ParseUint(strings.TrimSpace(value), 16, 64); err != nil {
				return nil, err
			}
		}
	}
	var names []string
	for bit, name := range capabilityNames() {
		if bits&(1<<bit) != 0 {
			names = append(names, "CAP_"+name)
		}
	}
	return names, nil
}

// capabilityNames are those that runc 1.1 knows, by number.
func capabilityNames() []string {
	return strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID
		SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER
		SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
		SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
		MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
}
