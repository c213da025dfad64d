package restore_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
)

// testdata/v1 is a store that the release of 27 November 2026 (commit 2cf138a) made of a disk of 12 MiB: GPT, vfat,
// ext4 and a loader before the first partition, whose free space was zero.
const oldDisk = "2ef808ce883f796da3431143958a6c16f40668a52f06456a4fa3f0499ef25367" // SHA-256

// What earlier releases captured opens, verifies and restores.
func TestOldImage(t *testing.T) {
	dir := t.TempDir() // an open image has a lock in its store
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	s, err := image.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	im, err := s.Open("v1")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if err := im.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	// By their rule bytes between and behind partitions were not in it: that is said.
	if notes := im.AgeNotes(); len(notes) != 1 ||
		!strings.Contains(notes[0], "left out 2087424 bytes that lie in no partition and 0 that lie behind") {
		t.Errorf("notes of an old image: %q", notes)
	}
	for name, o := range map[string]restore.LocalOptions{
		"plain": {Verify: true},
		"grow":  {Verify: true, Plan: []restore.PlanOption{restore.Grow()}},
	} {
		target := imagetest.NewMemory(make([]byte, 12<<20), 512)
		if _, err := restore.Local(t.Context(), im, target, o); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if sum := sha256.Sum256(target.Bytes()); hex.EncodeToString(sum[:]) != oldDisk {
			t.Errorf("%s: the disk is another", name)
		}
	}
	// On a larger one too, over what was there.
	if _, err := restore.Local(t.Context(), im, dirty(20<<20, 512), restore.LocalOptions{Verify: true}); err != nil {
		t.Error(err)
	}
}
