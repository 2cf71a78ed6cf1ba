// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// What one list of a node may have: resources of a kind, or what a directory has. A node with a thousand disks has less.
const (
	maxItems     = 16384
	maxListBytes = 64 << 20
)

// bound ends a list that is longer than any that a node gives, so that one node's answer does not take the memory and the time of all.
func bound(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer,
	opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if !strings.HasSuffix(method, "/List") {
		return open(ctx, desc, cc, method, opts...)
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	return &boundedStream{ClientStream: stream, cancel: cancel}, nil
}

type boundedStream struct {
	grpc.ClientStream
	cancel       context.CancelFunc
	items, bytes int
}

// RecvMsg receives the next item, or ends the stream.
func (s *boundedStream) RecvMsg(m any) error {
	if err := s.ClientStream.RecvMsg(m); err != nil {
		s.cancel()
		return err
	}
	s.items++
	if item, ok := m.(proto.Message); ok {
		s.bytes += proto.Size(item)
	}
	if s.items > maxItems || s.bytes > maxListBytes {
		s.cancel()
		return status.Errorf(codes.ResourceExhausted, "the node lists more than %d items or %d MB", maxItems, maxListBytes>>20)
	}
	return nil
}
