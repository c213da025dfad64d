package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/store"
)

// reading are commands that work with images that are there already.
var reading = [][]string{{"list"}, {"show", "debian"}, {"diff", "debian", "other"}, {"verify", "debian"}, {"gc"},
	{"tag", "debian", "new"}, {"rm", "debian"}, {"optimize", "debian"},
	{"push", "debian", "127.0.0.1:1/x", "--plain-http"},
	{"export", "debian", "DIR/out"}, {"restore", "debian", "DIR/disk"}, {"cut", "debian:1", "part"}}

// TestReadingMakesNoStore: who asks for images in a directory that has none is refused, by the flag and by the
// environment, and the directory is as before.
func TestReadingMakesNoStore(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "diskcast")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	slip := filepath.Join(dir, "diskcats")
	for _, c := range []struct {
		name, env string
		flags     []string
		want      []string
	}{
		{"a state directory without images", state, nil, []string{"no image store in " + state + "/images"}},
		{"by the flag", "", []string{"--state", state}, []string{"no image store in " + state + "/images"}},
		{"a slip in the environment", slip, nil, []string{slip, "did you mean " + state}},
		{"a slip in the flag", "", []string{"--state", slip}, []string{slip, "did you mean " + state}},
		{"a slip in --store", "", []string{"--store", slip}, []string{"no image store in " + slip, "look at the name"}},
	} {
		t.Setenv("DISKCAST_STATE", c.env)
		for _, args := range reading {
			args = append([]string{"image"}, args...)
			for i := range args {
				args[i] = strings.Replace(args[i], "DIR", dir, 1)
			}
			var out, errs bytes.Buffer
			err := Run(t.Context(), append(args, c.flags...), strings.NewReader(""), &out, &errs)
			if err == nil || out.Len() > 0 {
				t.Errorf("%s: %v: %v, %s", c.name, args, err, out.String())
				continue
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v: %v; want %q", c.name, args, err, want)
				}
			}
		}
		var left []string
		_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
			left = append(left, path)
			return nil
		})
		if !slices.Equal(left, []string{dir, state}) {
			t.Fatalf("%s: there is now %v", c.name, left)
		}
	}
	t.Setenv("DISKCAST_STATE", slip)
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	err := Run(t.Context(), []string{"image", "import", disk, "--name", "x"}, strings.NewReader(""), &out, &errs)
	if _, there := os.Stat(slip); err == nil || there == nil {
		t.Errorf("an import into a slip: %v", err)
	}
}

// TestServersOtherStore: commands without --store say that the server which runs here has its images elsewhere.
func TestServersOtherStore(t *testing.T) {
	state, other := t.TempDir(), t.TempDir()
	db, err := store.OpenBolt(filepath.Join(state, store.File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := store.SayImages(state, other); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		var out, errs bytes.Buffer
		err := Run(t.Context(), append(args, "--state", state), strings.NewReader(""), &out, &errs)
		return errs.String(), err
	}
	if _, err := run("image", "list"); err == nil || !strings.Contains(err.Error(), "add --store "+other) {
		t.Errorf("without a store in the state directory: %v", err)
	}
	if _, err := image.OpenStore(filepath.Join(state, "images")); err != nil {
		t.Fatal(err)
	}
	if said, err := run("image", "list"); err != nil || strings.Count(said, "has its images in "+other) != 1 {
		t.Errorf("with one: %v, %s", err, said)
	}
	if _, err := image.OpenStore(other); err != nil {
		t.Fatal(err)
	}
	if said, err := run("image", "list", "--store", other); err != nil || said != "" {
		t.Errorf("the server's: %v, %s", err, said)
	}
}
