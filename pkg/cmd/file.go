// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// openFile opens a file that a flag names; "-" is standard input.
func openFile(stdin io.Reader, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(stdin), nil
	}
	file, err := os.Open(name)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, failure.Wrap(failed.Err, fmt.Sprintf("cannot open %q", name), "")
	}
	return file, err
}

// replaceFile writes what, with its article, to a file. The file is there whole, or as it was before: it is written under another name
// beside it, and renamed. What is no regular file is left alone; a symbolic link is not followed.
func replaceFile(name, what string, mode fs.FileMode, write func(io.Writer) error) error {
	switch info, err := os.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return failure.New(fmt.Sprintf("%q is a symbolic link, which %s is not written through", name, what),
			"name the file that it leads to, or another one")
	case !info.Mode().IsRegular():
		return failure.New(fmt.Sprintf("%q is not a regular file, which %s is written to", name, what), "")
	}
	// CreateTemp makes a new file with mode 0600, under a name that nothing has.
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
