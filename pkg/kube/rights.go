// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
)

// reviewsAtOnce bounds how many rights are asked for at once.
const reviewsAtOnce = 16

// Missing asks the API server for all rights at once (SelfSubjectAccessReview) and returns those that the user lacks, in
// their order. An error means that it is not known.
func Missing(ctx context.Context, client Client, wanted []rights.Right) ([]rights.Right, error) {
	type answer struct {
		allowed bool
		err     error
	}
	answers := exec.Each(ctx, wanted, reviewsAtOnce, 0, func(ctx context.Context, r rights.Right) answer {
		review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: r.Namespace, Verb: r.Verb, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Name: r.Name,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return answer{err: failure.Wrap(err, fmt.Sprintf("whether you may %s is unknown", r), "")}
		}
		return answer{allowed: review.Status.Allowed}
	})
	var missing []rights.Right
	for i, a := range answers {
		if a.err != nil {
			return nil, a.err
		}
		if !a.allowed {
			missing = append(missing, wanted[i])
		}
	}
	return missing, nil
}

// User is the name by which the API server knows the one who asks; empty if it does not say (before Kubernetes v1.28).
func User(ctx context.Context, client Client) string {
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return ""
	}
	return review.Status.UserInfo.Username
}
