// SPDX-License-Identifier: Apache-2.0

package talosrelease

import "fmt"

// Fact is something that holds on some releases and not on others: Release.Has asks for it.
type Fact int

// The facts. The table has their releases and sources.
const (
	_ Fact = iota
	// UserVolumes: the document UserVolumeConfig, whose volumes are mounted below /var/mnt, where the kubelet sees them
	// without an extraMount.
	UserVolumes
	// RawVolumes: the document RawVolumeConfig, a partition without a file system.
	RawVolumes
	// VolumeTypes: a user volume can be a directory or a whole disk, not only a partition.
	VolumeTypes
	// VolumeQuotas: a user volume's file system can have project quotas.
	VolumeQuotas
	// VolumeMountOptions: volume documents say how a volume is mounted, securely (nosuid, nodev) if they do not say, and a size can be what
	// is to be left free.
	VolumeMountOptions
	// VolumeCare: volume documents have trim, scrub and the settings of XFS, and secure mounts are noexec too.
	VolumeCare
	// VolumesByID: volumes that are otherwise equal are made in the order of their IDs. Before, in no certain one.
	VolumesByID
	// CountsRejectedDisks: a volume that finds no disk tells how many its selector matched, and why they will not do.
	CountsRejectedDisks
	// RefusesAmbiguousDisk: a volume that is a whole disk fails if its selector matches several. Before, it takes the first.
	RefusesAmbiguousDisk
	// WipesDevices: the storage service wipes block devices.
	WipesDevices
	// DropsPartitions: it removes a wiped partition from the table if it is asked to.
	DropsPartitions
	// SkipsSecondaryCheck: it wipes what another device is made of if it is asked to.
	SkipsSecondaryCheck
	// WipeKnowsMounted: it says of a device that is mounted that it is. Before, only that it could not be opened.
	WipeKnowsMounted
	// StoredConfig: the configuration on a node's disk can be read beside the one in force, as the resource "persistent".
	// Without it a staged configuration cannot be seen.
	StoredConfig
	// StaleTokens: after a kubelet restart, what the kubelet mounts no longer reaches running pods.
	StaleTokens
	// KubernetesDocuments: new clusters get their Kubernetes settings as documents, KubeletConfig among them, which machinery v1.13
	// cannot load.
	KubernetesDocuments
	// RefusesFragments: a configuration without a v1alpha1 document is refused with a hint to patch.
	RefusesFragments
	// ConfigAsText: the configuration's resource says by an annotation that its YAML form is one string.
	ConfigAsText
	// NeverReboots: a configuration is put in force without a reboot, and none can ask for one.
	NeverReboots
	// RefusesConcurrentApply: a configuration that comes while another one is being applied is refused. Before, it waits.
	RefusesConcurrentApply
	// IsolatesWorkloads: new clusters run the kubelet in a PID namespace of its own, so that the service's events count
	// its process differently from the node.
	IsolatesWorkloads
	// ProcessLabels: the list of processes has their SELinux labels.
	ProcessLabels
	// DiskIdentities: the storage service's list of disks has WWIDs and UUIDs.
	DiskIdentities
	// MissingFileIsNotFound: reading a file that is not there ends in the code NotFound. Before, in Unknown.
	MissingFileIsNotFound
)

// facts is the table.
var facts = map[Fact]struct {
	when   []span
	source string
}{
	UserVolumes:            {from(10), "commit 664fa3697; pkg/machinery/config/types/block"},
	RawVolumes:             {from(11), "pkg/machinery/config/types/block"},
	VolumeTypes:            {from(12), "pkg/machinery/config/types/block"},
	VolumeQuotas:           {from(11), "pkg/machinery/config/types/block, FilesystemSpec"},
	VolumeMountOptions:     {from(13), "pkg/machinery/config/types/block, UserMountSpec"},
	VolumeCare:             {from(14), "pkg/machinery/config/types/block"},
	VolumesByID:            {from(14), "commit b7c0497b0; block/internal/volumes/volumes.go, CompareVolumeConfigs"},
	CountsRejectedDisks:    {from(11), "block/internal/volumes/locate.go"},
	RefusesAmbiguousDisk:   {[]span{{from: number{12, 5}}}, "commits 8a0e79774, 70ae2f274; block/internal/volumes/locate.go"},
	WipesDevices:           {from(9), "internal/app/storaged/server.go, BlockDeviceWipe"},
	DropsPartitions:        {from(10), "internal/app/storaged/server.go, BlockDeviceWipe"},
	SkipsSecondaryCheck:    {from(11), "internal/app/storaged/server.go, BlockDeviceWipe"},
	WipeKnowsMounted:       {[]span{{from: number{12, 2}}}, "internal/app/storaged/server.go, wipeDevice"},
	StoredConfig:           {from(10), `resource MachineConfig "persistent"`},
	StaleTokens:            {[]span{{number{13, 0}, number{13, 3}}}, "siderolabs/talos#13352, fixed by commit 0edabd29c"},
	KubernetesDocuments:    {from(14), "pkg/machinery/config/types/k8s"},
	RefusesFragments:       {from(11), "v1alpha1_server.go, ApplyConfiguration"},
	ConfigAsText:           {from(12), "annotation talos.dev/yaml-spec; cmd/talosctl/cmd/talos/patch.go"},
	NeverReboots:           {from(14), "v1alpha1_server.go, ApplyConfiguration; until then v1alpha1_runtime.go, CanApplyImmediate"},
	RefusesConcurrentApply: {from(14), "v1alpha1_server.go, ApplyConfiguration"},
	IsolatesWorkloads:      {from(14), "document SecurityProfileConfig, workloadIsolation"},
	ProcessLabels:          {from(8), "api/machine/machine.proto, ProcessInfo"},
	DiskIdentities:         {from(8), "StorageService, Disks"},
	MissingFileIsNotFound:  {from(9), "MachineService, Read"},
}

// Since is the oldest release on which the fact holds, as people write it: "v1.10".
func (f Fact) Since() string { return fmt.Sprintf("v1.%d", facts[f].when[0].from.minor) }

// documents are the v1 minors that first had the kinds of documents, from pkg/machinery/config/types.
var documents = map[uint][]string{
	5:  {"SideroLinkConfig", "EventSinkConfig", "KmsgLogConfig", "NetworkDefaultActionConfig", "NetworkRuleConfig"},
	7:  {"ExtensionServiceConfig", "TrustedRootsConfig", "WatchdogTimerConfig"},
	8:  {"VolumeConfig"},
	9:  {"KubespanEndpointsConfig", "PCIDriverRebindConfig"},
	10: {"UserVolumeConfig", "EthernetConfig"},
	11: {"RawVolumeConfig", "ExistingVolumeConfig", "SwapVolumeConfig", "ZswapConfig"},
	12: {"HostnameConfig", "ResolverConfig", "TimeSyncConfig", "RegistryMirrorConfig", "RegistryAuthConfig", "RegistryTLSConfig", "LinkConfig",
		"OOMConfig"},
	13: {"ExternalVolumeConfig", "EnvironmentConfig"},
	14: {
		"KubeletConfig", "DiscoveryIdentityConfig", "DiscoveryServiceConfig", "UnattendedInstallConfig", "FilesystemTrimConfig",
		"FilesystemScrubConfig", "SecurityProfileConfig", "KubeClusterConfig", "KubeNodeConfig", "KubeNetworkConfig",
		"KubeAPIServerCAConfig", "KubePrismConfig", "KubeTalosAPIAccessConfig", "UdevRulesConfig", "LVMVolumeGroupConfig",
		"LVMLogicalVolumeConfig", "RAIDArrayConfig",
	},
}

// HasDocument reports whether the release has a kind of document, and whether this package knows the kind.
func (r Release) HasDocument(kind string) (has, known bool) {
	minor, known := firstWith(kind)
	return known && r.since(minor, 0), known
}

func firstWith(kind string) (minor uint, known bool) {
	for minor, kinds := range documents {
		for _, k := range kinds {
			if k == kind {
				return minor, true
			}
		}
	}
	return 0, false
}
