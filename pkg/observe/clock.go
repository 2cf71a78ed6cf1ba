// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

// clock is the API server's as its answers tell it. Events, pods and kubelets are dated by
// the cluster's clocks, and that of the machine that this runs on may be wrong: how old
// something is can only be said by theirs.
type clock struct {
	below http.RoundTripper
	// ahead is by how much the API server's clock is ahead of this machine's, to a second;
	// none as long as no answer is dated.
	ahead time.Duration
}

// RoundTrip passes a request on, and takes the time from the header of its answer.
func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.below.RoundTrip(r)
	if err == nil {
		if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
			c.ahead = time.Until(date)
		}
	}
	return answer, err
}

// now is the API server's time.
func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

// through makes a REST client that does as the other one, and has the clock see its
// answers. One of another make is left as it is: its answers cannot be seen.
func (c *clock) through(client rest.Interface) (rest.Interface, error) {
	of, ok := client.(*rest.RESTClient)
	if !ok || of.Client == nil {
		return client, nil
	}
	seen := *of.Client
	if c.below = seen.Transport; c.below == nil {
		c.below = http.DefaultTransport
	}
	seen.Transport = c
	return rest.NewRESTClient(of.Get().AbsPath().URL(), "", rest.ClientContentConfig{}, nil, &seen)
}
