// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// installed are the provisioners that the cluster has now.
var installed []manifests.Provisioner

// withSecondClass has two Block classes.
func withSecondClass() manifests.Provisioner {
	p := manifests.Default()
	p.Classes = append(slices.Clone(p.Classes), manifests.Class{
		Name: "block-second", HostDir: classDirs["block-second"], MountDir: "/mnt/second", VolumeMode: corev1.PersistentVolumeBlock,
	})
	return p
}

// begin makes the state that a test starts from: exactly these provisioners,
// running, and no link, volume, claim or pod but theirs.
func begin(t *testing.T, provisioners ...manifests.Provisioner) {
	t.Helper()
	if !reflect.DeepEqual(installed, provisioners) {
		uninstall(t)
		install(t, provisioners)
	}
	for _, p := range provisioners {
		waitRunning(t, p)
	}
	empty(t)
}

func install(t *testing.T, provisioners []manifests.Provisioner) {
	t.Helper()
	for _, p := range provisioners {
		apply(t, p.Objects()...)
	}
	installed = provisioners
}

// uninstall removes everything but the namespaces, which take long to end.
func uninstall(t *testing.T) {
	t.Helper()
	for _, p := range installed {
		objects := slices.DeleteFunc(p.Objects(), func(o runtime.Object) bool {
			return o.GetObjectKind().GroupVersionKind().Kind == "Namespace"
		})
		kubectl(t, objects, "delete", "--wait=false", "--ignore-not-found", "-f", "-")
		kubectl(t, nil, "-n", p.Namespace, "delete", "jobs", "--all", "--wait=false")
		eventually(t, 30*time.Second, func() string {
			pods, err := kube().CoreV1().Pods(p.Namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return err.Error()
			}
			if len(pods.Items) > 0 {
				return fmt.Sprintf("%d pods in namespace %s", len(pods.Items), p.Namespace)
			}
			return ""
		})
	}
	installed = nil
}

// waitRunning waits until every node has a ready pod of the provisioner and
// none that is ending, and until its kubelet knows that: one that has just
// started does not, and says that there is no such pod.
func waitRunning(t *testing.T, p manifests.Provisioner) {
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		for _, n := range theCluster.Nodes() {
			pod, why := podOn(withoutEnd(t), p, n)
			if why != "" {
				return why
			}
			kubelet := kube().CoreV1().RESTClient().Get().Resource("nodes").Name(n.Name()).SubResource("proxy")
			known, err := kubelet.Suffix("pods").DoRaw(withoutEnd(t))
			if err != nil {
				return err.Error()
			}
			if !bytes.Contains(known, []byte(pod.UID)) {
				return fmt.Sprintf("the kubelet of %s does not know pod %s", n.Name(), pod.Name)
			}
		}
		return ""
	})
}

// podOn is the ready provisioner pod of a node, or why there is none.
func podOn(ctx context.Context, p manifests.Provisioner, n *cluster.Node) (*corev1.Pod, string) {
	pods, err := kube().CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(p.DaemonSet().Spec.Selector), FieldSelector: "spec.nodeName=" + n.Name(),
	})
	if err != nil {
		return nil, err.Error()
	}
	if len(pods.Items) != 1 {
		return nil, fmt.Sprintf("%d provisioner pods on %s", len(pods.Items), n.Name())
	}
	pod := &pods.Items[0]
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
			return pod, ""
		}
	}
	return nil, fmt.Sprintf("pod %s on %s is not ready", pod.Name, n.Name())
}

// replacePod makes the node's provisioner pod again, so that it sees the class
// directories as they are mounted now.
func replacePod(t *testing.T, p manifests.Provisioner, n *cluster.Node) {
	t.Helper()
	old, why := podOn(withoutEnd(t), p, n)
	if why != "" {
		t.Fatal(why)
	}
	deletePod(context.WithoutCancel(t.Context()), t, p, n)
	waitRunning(t, p)
	// The new pod may run while the old one's containers are still being killed; until then a session in them goes on.
	for _, c := range old.Status.ContainerStatuses {
		id := strings.TrimPrefix(c.ContainerID, "containerd://")
		eventually(t, time.Minute, func() string {
			return sh(t, n, `[ ! -e "/run/containerd/runc/k8s.io/$1" ] || echo "container $1 is still there"`, id)
		})
	}
}

func deletePod(ctx context.Context, t *testing.T, p manifests.Provisioner, n *cluster.Node) {
	t.Helper()
	pod, why := podOn(ctx, p, n)
	if why != "" {
		t.Fatal(why)
	}
	if err := kube().CoreV1().Pods(p.Namespace).Delete(ctx, pod.Name, deleteNow); err != nil {
		t.Fatal(err)
	}
}

// provisionerProcess sends a signal to the provisioner of a node. Commands can
// be run in the container of one that is stopped.
func provisionerProcess(t *testing.T, n *cluster.Node, signal string) {
	t.Helper()
	sh(t, n, `for p in /proc/[0-9]*; do
		case $(readlink $p/exe) in */local-provisioner) kill -$1 ${p#/proc/}; found=yes;; esac
	done; [ -n "${found-}" ]`, signal)
}

// provisionerLog is what the provisioner of a node has logged.
func provisionerLog(t *testing.T, of manifests.Provisioner, n *cluster.Node) string {
	t.Helper()
	pod, why := podOn(t.Context(), of, n)
	if why != "" {
		t.Fatal(why)
	}
	log, err := kube().CoreV1().Pods(of.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: manifests.Container}).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// lacks is why a text is not well: it lacks another. Empty if it has it.
func lacks(text, want string) string {
	if strings.Contains(text, want) {
		return ""
	}
	return fmt.Sprintf("there is no %q in\n%s", want, text)
}

// empty removes what tests leave: links, pods, claims, volumes, and the Jobs that cleaned them.
func empty(t *testing.T) {
	t.Helper()
	for _, n := range theCluster.Nodes() {
		sh(t, n, `mkdir -p /var/lib/disks && find /var/lib/disks -mindepth 2 -maxdepth 2 -delete`)
	}
	defer detachLoops(t)
	core := kube().CoreV1()
	eventually(t, 60*time.Second, func() string {
		ctx := t.Context()
		for what, remove := range map[string]func() error{
			"pods": func() error { return core.Pods("default").DeleteCollection(ctx, deleteNow, metav1.ListOptions{}) },
			"claims": func() error {
				return core.PersistentVolumeClaims("default").DeleteCollection(ctx, deleteNow, metav1.ListOptions{})
			},
			"volumes": func() error { return core.PersistentVolumes().DeleteCollection(ctx, deleteNow, metav1.ListOptions{}) },
			"jobs": func() error {
				withPods := metav1.DeleteOptions{GracePeriodSeconds: &noGrace, PropagationPolicy: &background}
				for _, p := range installed {
					if err := kube().BatchV1().Jobs(p.Namespace).DeleteCollection(ctx, withPods, metav1.ListOptions{}); err != nil {
						return err
					}
				}
				return nil
			},
		} {
			if err := remove(); err != nil && !apierrors.IsNotFound(err) {
				return what + ": " + err.Error()
			}
		}
		pods, err := core.Pods("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		volumes := volumeNames(t)
		if len(pods.Items)+len(volumes) > 0 {
			return fmt.Sprintf("still there: %d pods, volumes %s", len(pods.Items), volumes)
		}
		return ""
	})
}

// detachLoops removes the loop devices that kubelets make over raw volumes, and that disks are not.
// A kubelet that is started again while a pod goes, or whose disk is pulled, leaves one, and all nodes
// here have one kernel, and see it.
func detachLoops(t *testing.T) {
	t.Helper()
	sh(t, theCluster.Nodes()[0], `losetup -n -O NAME | while read -r loop; do
		[ "${loop#/dev/loop}" -ge 64 ] || losetup -d "$loop"
	done`)
}

func kube() kubernetes.Interface { return theCluster.Client() }

func volumeNames(t *testing.T) []string {
	t.Helper()
	list, err := kube().CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, v := range list.Items {
		names = append(names, v.Name)
	}
	return names
}

// volumeTimeout is for what the provisioner does, which looks every second.
const volumeTimeout = 20 * time.Second

// volume waits for a volume.
func volume(t *testing.T, name string) *corev1.PersistentVolume {
	t.Helper()
	var pv *corev1.PersistentVolume
	eventually(t, volumeTimeout, func() (why string) {
		var err error
		if pv, err = kube().CoreV1().PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	return pv
}

// volumeInPhase waits for a volume in a phase.
func volumeInPhase(t *testing.T, name string, phase corev1.PersistentVolumePhase) *corev1.PersistentVolume {
	t.Helper()
	var pv *corev1.PersistentVolume
	eventually(t, 30*time.Second, func() string {
		if pv = volume(t, name); pv.Status.Phase != phase {
			return fmt.Sprintf("volume %s is %s, not %s", name, pv.Status.Phase, phase)
		}
		return ""
	})
	return pv
}

func apply(t *testing.T, objects ...runtime.Object) {
	t.Helper()
	kubectl(t, objects, "apply", "-f", "-")
}

// kubectl runs the cluster's kubectl, objects on its stdin, as administrator.
func kubectl(t *testing.T, objects []runtime.Object, args ...string) string {
	t.Helper()
	text, err := manifests.YAML(objects...)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), theCluster.KubectlPath(), append([]string{"--kubeconfig", theCluster.Kubeconfig()}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl %s: %s: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

var (
	noGrace    = int64(0)
	deleteNow  = metav1.DeleteOptions{GracePeriodSeconds: &noGrace}
	background = metav1.DeletePropagationBackground
)
