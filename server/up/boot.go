package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
)

func (w *work) bootDir() string {
	if w.set.BootDir != "" {
		return w.set.BootDir
	}
	return filepath.Join(w.set.State, "boot")
}

// manifest reads the boot directory's; nil where there is no directory.
func (w *work) manifest() (*bootdir.Manifest, error) {
	dir := w.bootDir()
	f, err := os.Open(filepath.Join(dir, bootdir.ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
			return nil, fmt.Errorf("%s holds files and is not a boot directory (no %s in it): move them away, or name "+
				"another folder as `boot-dir` in the settings file", dir, bootdir.ManifestFile)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := bootdir.ReadManifest(f)
	if err != nil {
		return nil, fmt.Errorf("boot directory %s: %w: move it away, and run this again", dir, err)
	}
	return m, nil
}

// bootLeadsHere says whether there is a boot directory for this server.
func (w *work) bootLeadsHere() (bool, error) {
	m, err := w.manifest()
	if err != nil || m == nil {
		return false, err
	}
	return w.Pin != "" && m.Site.Server == w.URL && m.Site.Pin == w.Pin, nil
}

// makeBoot makes the boot directory, by the program mkimage.
func (w *work) makeBoot(ctx context.Context) error {
	dir := w.bootDir()
	if w.kernel == nil {
		w.step(Kept, "boot directory %s", dir)
		return nil
	}
	if w.DryRun {
		w.step(Made, "boot directory %s, by mkimage", dir)
		return nil
	}
	before, err := w.manifest()
	if err != nil {
		return err
	}
	program, err := w.Host.MkImage()
	if err != nil {
		return err
	}
	if w.kernel.fetch != "" {
		temp, err := os.MkdirTemp("", "diskcast-up-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		// apt drops its privileges to fetch.
		if err := os.Chmod(temp, 0o755); err != nil {
			return err
		}
		if err := w.fetchKernel(ctx, temp); err != nil {
			return err
		}
	}
	args := []string{"--kernel", w.kernel.file, "--server", w.URL, "--pin", w.Pin, "--out", dir, "--json"}
	for _, m := range w.kernel.modules {
		args = append(args, "--modules-from", m)
	}
	if w.Console != "" {
		args = append(args, "--console", w.Console)
	}
	out, err := w.Host.Output(ctx, "", program, args...)
	if err != nil {
		return fmt.Errorf("boot directory: %w", err)
	}
	var said struct {
		Notes    []string          `json:"notes"`
		Manifest *bootdir.Manifest `json:"manifest"`
	}
	if err := json.Unmarshal(out, &said); err != nil || said.Manifest == nil {
		return fmt.Errorf("boot directory: %s printed what this program does not understand (%v): install diskcast "+
			"and mkimage of one build", program, err)
	}
	if err := w.give(dir); err != nil {
		return err
	}
	words := fmt.Sprintf("boot directory %s: Linux %s, %d modules", dir, said.Manifest.Kernel,
		len(said.Manifest.Modules))
	for _, n := range said.Notes {
		words += "\nnote: " + strings.TrimSpace(n)
	}
	if before != nil && reflect.DeepEqual(before, said.Manifest) {
		w.step(Kept, "%s", words)
	} else {
		w.step(Made, "%s", words)
	}
	return nil
}
