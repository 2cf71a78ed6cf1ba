// SPDX-License-Identifier: Apache-2.0

// Command provisioner is the stand-in for the local static provisioner. It
// takes the flags and the environment of the real one that matter to a test.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/talosdisk/kubectl-talosdisk/test/standin"
)

type options struct {
	configDir       string
	listenAddress   string
	discoveryPeriod time.Duration
	configPeriod    time.Duration
}

func main() {
	klog.InitFlags(nil)
	var o options
	flag.StringVar(&o.configDir, "config-dir", standin.ConfigDir, "directory of the mounted ConfigMap")
	flag.StringVar(&o.listenAddress, "listen-address", ":8080", "address on which /ready is served")
	flag.DurationVar(&o.discoveryPeriod, "discovery-period", 10*time.Second, "time between two passes over the class directories")
	flag.DurationVar(&o.configPeriod, "config-sync-period", 5*time.Second, "time between two looks at the config")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		klog.Fatal(err)
	}
}

func run(ctx context.Context, o options) error {
	config, err := standin.LoadConfig(o.configDir)
	if err != nil {
		return fmt.Errorf("Error parsing Provisioner's configuration: %w. Exiting...", err)
	}
	klog.Infof("Loaded configuration: %+v", config)
	nodeName := os.Getenv("MY_NODE_NAME")
	if nodeName == "" {
		return errors.New("MY_NODE_NAME environment variable not set")
	}
	client, err := connect()
	if err != nil {
		return err
	}
	node, err := getNode(ctx, client, nodeName)
	if err != nil {
		return fmt.Errorf("Could not get node information: %w", err)
	}
	if node.Labels[corev1.LabelHostname] == "" {
		return fmt.Errorf("Failed to generate node selector: Node does not have expected label %s", corev1.LabelHostname)
	}

	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	name := standin.ProvisionerName(node, config.UseNodeNameOnly)
	provisioner := &standin.Provisioner{
		Node:      node,
		Namespace: cmp.Or(os.Getenv("MY_NAMESPACE"), metav1.NamespaceDefault),
		JobImage:  os.Getenv("JOB_CONTAINER_IMAGE"),
		Host:      standin.Linux{},
		Cluster:   standin.APIServer{Client: client},
		Events:    broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: name}),
		Log:       klogLines{},
	}
	if err := serve(ctx, o.listenAddress, provisioner); err != nil {
		return err
	}
	klog.Info("Controller started")
	return provisioner.Run(ctx, o.configDir, config, o.discoveryPeriod, o.configPeriod)
}

// connect returns a client for $KUBECONFIG, or for the cluster the pod is in.
func connect() (*kubernetes.Clientset, error) {
	var config *rest.Config
	var err error
	if path := os.Getenv("KUBECONFIG"); path != "" {
		config, err = clientcmd.BuildConfigFromFlags("", path)
	} else {
		config, err = rest.InClusterConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find the cluster: %w", err)
	}
	return kubernetes.NewForConfig(config)
}

// getNode tries for a while: right after the start of a pod its network or the
// API server's permissions may not be there yet.
func getNode(ctx context.Context, client kubernetes.Interface, name string) (*corev1.Node, error) {
	const tries = 3
	for remaining := tries - 1; ; remaining-- {
		node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err == nil || remaining == 0 {
			return node, err
		}
		klog.Infof("Could not get node information (remaining retries: %d): %v", remaining, err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// serve listens before it returns, so that an address in use is an error of
// the start and not of a goroutine.
func serve(ctx context.Context, address string, handler http.Handler) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("cannot serve /ready: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			klog.Errorf("cannot serve /ready: %v", err)
		}
	}()
	return nil
}

// klogLines writes log lines in klog's form, with the place they come from.
type klogLines struct{}

func (klogLines) Debugf(format string, args ...any) {
	if klog.V(5).Enabled() {
		klog.InfofDepth(1, format, args...)
	}
}

func (klogLines) Infof(format string, args ...any) { klog.InfofDepth(1, format, args...) }

func (klogLines) Errorf(format string, args ...any) { klog.ErrorfDepth(1, format, args...) }
