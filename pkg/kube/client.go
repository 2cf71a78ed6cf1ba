// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"net/http"
	"strings"

	appsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
	authenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	batchv1 "k8s.io/client-go/kubernetes/typed/batch/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	storagev1 "k8s.io/client-go/kubernetes/typed/storage/v1"
	"k8s.io/client-go/rest"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Client is as much of the Kubernetes API as the plugin uses. client-go's Clientset
// is one as well, and so is its fake; linking all the groups and versions that there are
// would cost 8 MB.
type Client interface {
	CoreV1() corev1.CoreV1Interface
	AppsV1() appsv1.AppsV1Interface
	BatchV1() batchv1.BatchV1Interface
	StorageV1() storagev1.StorageV1Interface
	AuthenticationV1() authenticationv1.AuthenticationV1Interface
	AuthorizationV1() authorizationv1.AuthorizationV1Interface
}

// Raw is what a request was answered with, or why the API server refused it: the request's
// own DoRaw tells no more than that it did.
func Raw(r rest.Result) ([]byte, error) {
	if err := r.Error(); err != nil {
		return nil, err
	}
	return r.Raw()
}

// groups is a Client over one HTTP client.
type groups struct {
	core    *corev1.CoreV1Client
	apps    *appsv1.AppsV1Client
	batch   *batchv1.BatchV1Client
	storage *storagev1.StorageV1Client

	authentication *authenticationv1.AuthenticationV1Client
	authorization  *authorizationv1.AuthorizationV1Client
}

func (g *groups) CoreV1() corev1.CoreV1Interface          { return g.core }
func (g *groups) AppsV1() appsv1.AppsV1Interface          { return g.apps }
func (g *groups) BatchV1() batchv1.BatchV1Interface       { return g.batch }
func (g *groups) StorageV1() storagev1.StorageV1Interface { return g.storage }
func (g *groups) AuthenticationV1() authenticationv1.AuthenticationV1Interface {
	return g.authentication
}
func (g *groups) AuthorizationV1() authorizationv1.AuthorizationV1Interface { return g.authorization }

// lateTransport says of a request that took too long who did not answer.
type lateTransport struct{ next http.RoundTripper }

// RoundTrip is that of http.RoundTripper.
func (p lateTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := p.next.RoundTrip(r)
	if err == nil || r.Context().Err() == nil {
		return response, err
	}
	from := "the Kubernetes API server"
	if strings.Contains(r.URL.Path, "/proxy/") || strings.HasSuffix(r.URL.Path, "/log") {
		from += ", or the kubelet behind it"
	}
	if late, ok := errors.AsType[*failure.TimeoutError](failure.Late(r.Context(), from)); ok {
		err = late
	}
	return response, err
}

// WrappedRoundTripper is what client-go looks for to find the connections below.
func (p lateTransport) WrappedRoundTripper() http.RoundTripper { return p.next }

// NewClient returns a Client for the cluster and user of config. It makes no request.
// A rate limit of config holds for each group on its own.
func NewClient(config *rest.Config) (Client, error) {
	config = rest.CopyConfig(config)
	if config.UserAgent == "" { // The HTTP client sends it; the groups would set it too late.
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return lateTransport{next} })
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	g := &groups{}
	if g.core, err = corev1.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, err
	}
	if g.apps, err = appsv1.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, err
	}
	if g.batch, err = batchv1.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, err
	}
	if g.storage, err = storagev1.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, err
	}
	if g.authentication, err = authenticationv1.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, err
	}
	if g.authorization, err = authorizationv1.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, err
	}
	return g, nil
}
