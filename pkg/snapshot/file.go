// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// FormatVersion is the version of the format that Save writes. It changes with every
// change after which an older program would read a snapshot wrongly.
const FormatVersion = 2

// Save writes a snapshot as JSON.
func Save(w io.Writer, s *Snapshot) error {
	saved := *s
	saved.Version = FormatVersion
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(saved)
}

// Load reads what Save wrote. A field that it does not know is an error: what it says
// would count for nothing, and nobody would notice.
func Load(r io.Reader) (*Snapshot, error) {
	const hint = "kubectl talosdisk doctor --save-snapshot FILE writes one"
	content, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(content) > maxFile:
		return nil, failure.New(fmt.Sprintf("this is no snapshot: it is larger than %d MB", maxFile>>20), hint)
	case amplifies(content):
		return nil, failure.Wrap(errAmplifies, "this is no snapshot", hint)
	}
	var format struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(content, &format); err != nil {
		return nil, failure.Wrap(err, "this is no snapshot", hint)
	}
	switch {
	case format.Version <= 0:
		return nil, failure.New("this is no snapshot: it has no version", hint)
	case format.Version > FormatVersion:
		return nil, failure.New(fmt.Sprintf("the snapshot has version %d of the format, and this program knows versions up to %d", format.Version,
			FormatVersion),
			"it was written by a newer program; this one is: kubectl talosdisk version --client")
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	s := new(Snapshot)
	if err := decoder.Decode(s); err != nil {
		return nil, failure.Wrap(err, "the snapshot is not understood", hint)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, failure.New("the snapshot is not understood: something follows it", hint)
	}
	if err := s.check(); err != nil {
		return nil, failure.Wrap(err, "the snapshot is not understood", hint)
	}
	return s, nil
}
