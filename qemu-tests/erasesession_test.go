package qemutests

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestEraseSession goes the operator's way: a machine boots by network, its disk is erased by a session, and a receipt
// of that is fetched and verified. On the host every byte of the disk is zero.
func TestEraseSession(t *testing.T) {
	const size = 32 << 20
	b := setup(t, 6*time.Minute, lab.Options{})
	n := b.node("a", site.Hardware{Disks: []int64{size}})
	old := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(old) // never fails
	if err := os.WriteFile(n.Disk, old, 0o600); err != nil {
		t.Fatal(err)
	}
	se, err := b.Erase(b.ctx, "--method", "zero", "--read-back", "all", "--nodes", n.MAC, "--then", "poweroff", "--yes")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(se.Stop)
	b.on(n)
	v := b.done(se)
	b.off(n)
	if v.Session.State != doc.Done {
		t.Fatalf("%s: %s; %+v", v.Session.State, v.Session.Reason, v.Parts[n.ID])
	}
	got, err := os.ReadFile(n.Disk)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, make([]byte, size)) {
		t.Error("the disk is not all zeros")
	}
	dir := filepath.Join(b.dir, "receipts")
	var files []string
	if err := b.Ask(b.ctx, &files, "receipt", "get", se.ID, "--out", dir); err != nil || len(files) != 1 {
		t.Fatalf("the receipts %q: %v", files, err)
	}
	out, err := b.Site.Run(b.ctx, "receipt", "show", files[0], "--json", "--state", b.State)
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		Kind, Method, Result, Term, Verified string
		Valid                                bool
		Disk                                 struct{ Size int64 }
	}
	if err := json.Unmarshal([]byte(out), &docs); err != nil || len(docs) != 1 {
		t.Fatalf("%v in %s", err, out)
	}
	if d := docs[0]; d.Kind != "erase" || d.Method != "zero" || d.Result != "done" || d.Term != "clear" ||
		!d.Valid || d.Disk.Size != size {
		t.Errorf("the receipt says %+v", d)
	}
}
