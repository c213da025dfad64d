package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// start starts a command on the server's machine that knows only the server's address.
func (l *lab) start(stdout io.Writer, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	l.t.Helper()
	cmd, stderr = exec.Command("diskcast", append(args, "--server", "https://127.0.0.1:8443", "--state",
		l.state)...), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	var err error
	l.n.Do(func() { err = cmd.Start() })
	if err != nil {
		l.t.Fatal(err)
	}
	return cmd, stderr
}

// TestImagesOfAServer brings an image to a real server that is killed meanwhile, and follows what happens there all the
// time.
func TestImagesOfAServer(t *testing.T) {
	l := newLab(t)
	disk := filepath.Join(t.TempDir(), "disk")
	if err := writeDisk(disk, 64<<20); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	defer r.Close()
	watch, watched := l.start(w, "watch", "--json")
	defer func() {
		watch.Process.Kill()
		r.Close() // else what is copied from its output never ends
		watch.Wait()
	}()
	lines := json.NewDecoder(r)
	until := func(kind string) {
		t.Helper()
		for {
			var line doc.Line
			if err := lines.Decode(&line); err != nil {
				t.Fatalf("watch: %v\n%s", err, watched)
			}
			if line.Type == kind {
				return
			}
		}
	}
	id := strings.TrimSpace(l.diskcast("session", "create", "--image", "debian", "--nodes", "52:54:00:00:00:09"))
	until(doc.LineSession)

	var out bytes.Buffer
	send, sent := l.start(&out, "image", "import", disk, "--name", "far", "--json")
	l.kill()
	l.serve()
	if err := send.Wait(); err != nil {
		t.Fatalf("import: %v\n%s", err, sent)
	}
	var brought struct{ Name, Digest string }
	if err := json.Unmarshal(out.Bytes(), &brought); err != nil || brought.Name != "far" {
		t.Fatalf("import says %s: %v", &out, err)
	}
	if shown := l.diskcast("image", "show", "far"); !strings.Contains(shown, brought.Digest) {
		t.Errorf("the server's store has another image: %s", shown)
	}
	// The server of before is gone, and with it the cursor: that is told, and then how things are.
	until(doc.LineLost)
	until(doc.LineSession)
	l.diskcast("session", "cancel", id)
	until(doc.LineSession)

	// What a session had open, and no image needs any more, is freed by the server itself.
	for _, args := range [][]string{{"image", "rm", "debian", "far"}, {"image", "gc"}} {
		out.Reset()
		cmd, errs := l.start(&out, args...)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, errs)
		}
	}
	if blobs, err := filepath.Glob(filepath.Join(l.store(), "blobs/sha256/*")); err != nil || len(blobs) != 0 {
		t.Errorf("gc says %s, and leaves %v, %v", &out, blobs, err)
	}
}
