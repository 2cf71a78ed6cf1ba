// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
)

// maxFile in bytes. Talos's limit of mounts, 100000, makes a mountinfo of 20 MB.
const maxFile = 64 << 20

// File is what a directory has.
type File struct {
	// Name is the path below the directory that was listed.
	Name string
	Dir  bool
	// Symlink reports whether it is one, and Link what it says.
	Symlink bool
	Link    string
	// Problem says why there is only the name.
	Problem string
}

// List is what is in a directory of the node, depth levels deep, in the order of a
// walk; without the directory itself. Neither a missing path nor one that is no
// directory has a listing: both are ErrNotFound.
func (n *Node) List(ctx context.Context, dir string, depth int) ([]File, error) {
	what := fmt.Sprintf("the directory %q", dir)
	request, root := listRequest(dir, depth)
	stream, err := n.client.talos.LS(n.to(ctx), request)
	if err != nil {
		return nil, n.call(what, reader).explain(ctx, err)
	}
	var files []File
	for {
		info, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, n.call(what, reader).explain(ctx, err)
		}
		if problem := info.GetMetadata().GetError(); problem != "" {
			return nil, fail(ErrAnswer, what+" could not be listed", brief(problem), "")
		}
		name := path.Clean(info.GetName())
		switch {
		case info.GetError() != "" && (name == root || info.GetName() == ""):
			return nil, fail(ErrAnswer, what+" could not be listed", brief(info.GetError()), "")
		case name == root:
			continue
		}
		mode := fs.FileMode(info.GetMode())
		files = append(files, File{
			Name:    strings.TrimPrefix(strings.TrimPrefix(name, root), "/"),
			Dir:     info.GetIsDir(),
			Symlink: mode&fs.ModeSymlink != 0,
			Link:    info.GetLink(),
			Problem: brief(info.GetError()),
		})
	}
}

// listRequest asks for a directory as DIR/. because Talos resolves a last component
// that is a symlink in its own root: asked for /proc/PID/root it lists the node's
// root, and not the process's (v1.6 to v1.14, archiver/walker.go).
func listRequest(dir string, depth int) (request *machineapi.ListRequest, root string) {
	root = path.Clean("/" + dir)
	request = &machineapi.ListRequest{Root: strings.TrimSuffix(root, "/") + "/."}
	if depth > 1 {
		// Talos counts slashes, and the one of DIR/. is one too many. 0 would be no limit.
		request.Recurse, request.RecursionDepth = true, int32(depth-1)
	}
	return request, root
}

// Read is the content of a regular file of the node. It needs os:admin.
func (n *Node) Read(ctx context.Context, path string) ([]byte, error) {
	what := fmt.Sprintf("the file %q", path)
	stream, err := n.client.talos.MachineClient.Read(n.to(ctx), &machineapi.ReadRequest{Path: path})
	if err != nil {
		return nil, n.call(what, admin).explain(ctx, err)
	}
	var content []byte
	for {
		data, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return content, nil
		}
		if err != nil { // Machinery's own reader takes an end by the context for the file's.
			return nil, n.call(what, admin).explain(ctx, err)
		}
		if problem := data.GetMetadata().GetError(); problem != "" {
			return nil, fail(ErrAnswer, what+" could not be read", brief(problem), "")
		}
		if content = append(content, data.GetBytes()...); len(content) > maxFile {
			return nil, fail(ErrAnswer, fmt.Sprintf("%s has more than %d bytes", what, maxFile), "", "")
		}
	}
}
