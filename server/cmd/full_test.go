package cmd

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
)

// full is a standard output that takes nothing more.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestStdoutIsFull(t *testing.T) {
	for _, args := range [][]string{{"image", "list"}, {"image", "list", "--json"}, {"image", "gc"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			store := t.TempDir()
			if _, err := image.OpenStore(filepath.Join(store, "images")); err != nil {
				t.Fatal(err)
			}
			if err := Run(t.Context(), append(args, "--state", store), strings.NewReader(""), new(bytes.Buffer),
				new(bytes.Buffer)); err != nil {
				t.Fatal(err)
			}
			err := Run(t.Context(), append(args, "--state", store), strings.NewReader(""), full{}, new(bytes.Buffer))
			if !errors.Is(err, errFull) || ExitCode(err) != exitFailed {
				t.Errorf("%v, exit code %d: what was not printed is not heard of", err, ExitCode(err))
			}
		})
	}
}
