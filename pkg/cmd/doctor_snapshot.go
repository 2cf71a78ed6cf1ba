// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// saveSnapshot writes a snapshot to a file that only its owner may read. The file is there
// whole, or as it was before: it is written under another name beside it, and renamed. What
// is no regular file is left alone; a symbolic link is not followed.
func saveSnapshot(name string, s *snapshot.Snapshot) error {
	switch info, err := os.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return failure.New(fmt.Sprintf("%q is a symbolic link, which a snapshot is not written through", name),
			"name the file that it leads to, or another one")
	case !info.Mode().IsRegular():
		return failure.New(fmt.Sprintf("%q is not a regular file, which a snapshot is written to", name), "")
	}
	// CreateTemp makes a new file with mode 0600, under a name that nothing has.
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	if err := errors.Join(snapshot.Save(file, s), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
