// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"strings"
	"testing"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// endless is a stream of a node that never stops.
type endless struct {
	grpc.ClientStream
	name string
	sent int
}

func (e *endless) RecvMsg(m any) error {
	e.sent++
	m.(*machineapi.FileInfo).Name = e.name
	return nil
}

func TestAnEndlessListEnds(t *testing.T) {
	for what, tt := range map[string]struct {
		name string
		most int
	}{"many items": {"x", maxItems + 1}, "large items": {strings.Repeat("x", 1<<20), maxListBytes>>20 + 1}} {
		node := &endless{name: tt.name}
		var ended context.Context
		stream, err := bound(t.Context(), nil, nil, "/machine.MachineService/List",
			func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
				ended = ctx
				return node, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = stream.RecvMsg(new(machineapi.FileInfo))
		}
		if status.Code(err) != codes.ResourceExhausted || node.sent > tt.most || ended.Err() == nil {
			t.Errorf("%s: %v after %d items, the stream's context: %v", what, err, node.sent, ended.Err())
		}
	}
}
