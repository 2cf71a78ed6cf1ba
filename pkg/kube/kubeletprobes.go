// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kubeletprobe"
)

const (
	// unbounded is how long a Job may take that its caller gives any time.
	unbounded = 2 * time.Minute
	// spare is how much later a Job ends by itself than the one that waits for it.
	spare = 10 * time.Second
	// sendTimeout bounds a request that must be sent whatever becomes of the run.
	sendTimeout = 10 * time.Second
	// maxLog in bytes: two tables of 100000 mounts, Talos's limit.
	maxLog = 64 << 20
)

// KubeletProbes look through kubelets' eyes by a Job each, which they delete again. The first
// look deletes what earlier runs left behind. It is safe for concurrent use.
type KubeletProbes struct {
	Client Client
	// Warn, if set, hears of what was left behind, with a command that removes it. It
	// must be safe for concurrent use.
	Warn func(string)

	swept atomic.Bool
}

// Probe looks at one node. The error says, of what could be known, why there is no answer:
// the API server's refusal, or the pod's own reason.
func (p *KubeletProbes) Probe(ctx context.Context, node, image string, dirs []string) (kubeletprobe.Answer, error) {
	if err := context.Cause(ctx); err != nil {
		return kubeletprobe.Answer{}, err
	}
	limit := unbounded
	if end, ok := ctx.Deadline(); ok {
		limit = max(time.Until(end), 0) + spare
	}
	job := kubeletprobe.Job(kubeletprobe.Request{
		Name:     "talosdisk-probe-" + rand.String(10),
		Node:     node,
		Image:    image,
		Dirs:     dirs,
		Deadline: limit,
	})
	made, err := p.create(ctx, job)
	if err != nil {
		return kubeletprobe.Answer{}, err
	}
	var beside sync.WaitGroup // Only this look waits for it, and only when it has ended.
	defer beside.Wait()
	defer p.delete(ctx, job.Name)
	if p.swept.CompareAndSwap(false, true) {
		beside.Go(func() { p.sweepUp(ctx, made) })
	}
	bounded, cancel := context.WithTimeout(ctx, limit) // If the Job's own deadline comes to nothing.
	defer cancel()
	pod, err := p.await(bounded, job.Name)
	if err != nil {
		return kubeletprobe.Answer{}, err
	}
	out, err := Raw(p.Client.CoreV1().Pods(kubeletprobe.Namespace).GetLogs(pod,
		&corev1.PodLogOptions{LimitBytes: new(int64(maxLog))}).Do(bounded))
	if err != nil {
		return kubeletprobe.Answer{}, failure.Wrap(err, fmt.Sprintf("the log of pod %q", kubeletprobe.Namespace+"/"+pod), "")
	}
	return kubeletprobe.Parse(string(out))
}

// create makes the Job. It returns when that was, by the API server's clock; zero: it did
// not say, and nothing is old by that. The end of the run does not cut the request off: what came of one without an
// answer is not known.
func (p *KubeletProbes) create(ctx context.Context, job *batchv1.Job) (time.Time, error) {
	send, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	created, err := p.Client.BatchV1().Jobs(job.Namespace).Create(send, job, metav1.CreateOptions{})
	switch {
	case err == nil:
		return created.CreationTimestamp.Time, nil
	case apierrors.IsAlreadyExists(err): // The client asked again, and nobody else has its random name.
		return time.Time{}, nil
	case !provesNothingMade(err):
		p.delete(ctx, job.Name) // It may be there anyway.
	}
	return time.Time{}, err
}

// provesNothingMade tells an answer by which the API server refused to make something from
// one that leaves it open, as a proxy's or that of one whose storage is slow.
func provesNothingMade(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsNotFound(err) || apierrors.IsTooManyRequests(err) || apierrors.IsMethodNotSupported(err)
}

// delete deletes the Job and its pod, also when the run has ended.
func (p *KubeletProbes) delete(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	err := p.Client.BatchV1().Jobs(kubeletprobe.Namespace).Delete(ctx, name,
		metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
	if err != nil && !apierrors.IsNotFound(err) {
		p.warn("Job %q could not be deleted: %s; it ends by itself; delete it: %s", kubeletprobe.Namespace+"/"+name, err,
			shell.Command("kubectl", "-n", kubeletprobe.Namespace, "delete", "job", name))
	}
}

// sweepUp deletes what nobody reads any more. now is the API server's, as the Jobs' times
// are: a look's own Job, which was made at that time, is no leftover.
func (p *KubeletProbes) sweepUp(ctx context.Context, now time.Time) {
	list, err := p.Client.BatchV1().Jobs(kubeletprobe.Namespace).List(ctx, metav1.ListOptions{LabelSelector: kubeletprobe.Selector().String()})
	if err != nil {
		if ctx.Err() == nil {
			p.warn("whether earlier runs left Jobs behind is unknown: %s; look: %s", err,
				shell.Command("kubectl", "-n", kubeletprobe.Namespace, "get", "jobs", "-l", kubeletprobe.Selector().String()))
		}
		return
	}
	for _, name := range kubeletprobe.Leftovers(list.Items, now) {
		if ctx.Err() != nil { // The next run does it.
			return
		}
		p.delete(ctx, name)
	}
}

func (p *KubeletProbes) warn(format string, args ...any) {
	if p.Warn != nil {
		p.Warn(fmt.Sprintf(format, args...))
	}
}

// await waits until the Job's pod has said what it sees. It returns the pod's name.
func (p *KubeletProbes) await(ctx context.Context, job string) (string, error) {
	api := p.Client.CoreV1().Pods(kubeletprobe.Namespace)
	selector := kubeletprobe.PodSelector(job).String()
	var name string
	var state kubeletprobe.PodState
	take := func(pod *corev1.Pod) bool {
		name, state = pod.Name, kubeletprobe.PodStateOf(pod)
		return state.Ended || state.Failed != ""
	}
	list, err := api.List(ctx, metav1.ListOptions{LabelSelector: selector})
	over := false
	if err == nil {
		for i := range list.Items {
			over = over || take(&list.Items[i])
		}
	}
	if err == nil && !over {
		// What Until says of a watch that is refused is only that it was closed.
		var refused atomic.Value
		watcher := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			w, err := api.Watch(ctx, o)
			if apierrors.IsForbidden(err) {
				refused.Store(err)
			}
			return w, err
		}}
		_, err = watchtools.Until(ctx, list.ResourceVersion, watcher, func(event watch.Event) (bool, error) {
			pod, ok := event.Object.(*corev1.Pod)
			switch {
			case !ok:
				return false, nil
			case event.Type == watch.Deleted:
				if !take(pod) {
					state.Failed = "it was deleted"
				}
				return true, nil
			}
			return take(pod), nil
		})
		if why, ok := refused.Load().(error); ok && errors.Is(err, watchtools.ErrWatchClosed) {
			err = why
		}
	}
	switch {
	case state.Ended:
		return name, nil
	case state.Failed != "":
		return "", fmt.Errorf("pod %q: %s", kubeletprobe.Namespace+"/"+name, state.Failed)
	case ctx.Err() == nil:
		return "", err
	case name != "":
		return "", fmt.Errorf("pod %q has not ended (%s): %w", kubeletprobe.Namespace+"/"+name, state.Waiting, context.Cause(ctx))
	}
	return "", p.noPod(ctx, job)
}

// noPod is why a Job has no pod, as its events tell.
func (p *KubeletProbes) noPod(ctx context.Context, job string) error {
	why := context.Cause(ctx)
	if !errors.Is(why, context.DeadlineExceeded) {
		return why
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	about := fields.Set{"involvedObject.kind": "Job", "involvedObject.name": job, "type": corev1.EventTypeWarning}.AsSelector().String()
	events, err := p.Client.CoreV1().Events(kubeletprobe.Namespace).List(ctx, metav1.ListOptions{FieldSelector: about})
	if err == nil && len(events.Items) > 0 {
		return fmt.Errorf("job %q has no pod: %s", kubeletprobe.Namespace+"/"+job, events.Items[len(events.Items)-1].Message)
	}
	return fmt.Errorf("job %q has no pod: %w", kubeletprobe.Namespace+"/"+job, why)
}
