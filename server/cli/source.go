package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/image/capture"
)

// openDevice opens a block device to be captured. One that is mounted for writing is refused: its file systems would change
// under the capture.
func openDevice(path string) (*capture.Source, error) {
	if err := notMounted(path); err != nil {
		return nil, err
	}
	return capture.OpenSource(path)
}

// notMounted refuses a disk of which some part is mounted for writing.
func notMounted(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], real) || strings.Split(f[3], ",")[0] != "rw" {
			continue
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(f[0], real), "p")
		if strings.Trim(rest, "0123456789") == "" {
			return fmt.Errorf("%s is mounted on %s: unmount it, or remount it read-only (`mount -o remount,ro %s`), and capture again", f[0], f[1], f[1])
		}
	}
	return nil
}
