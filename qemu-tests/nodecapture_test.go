package qemutests

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestCaptureNode captures a machine's Debian disk over the network. The stored image is whole, it is the very one that
// a capture of the disk on the server's machine gives, and nothing was written to the disk.
func TestCaptureNode(t *testing.T) {
	b := setup(t, 6*time.Minute, lab.Options{})
	debian := debianImage(b.ctx, t)
	n := b.node("a", site.Hardware{Disks: []int64{debian.Size}})
	if err := sparse.Copy(b.ctx, debian.Disk, n.Disk); err != nil {
		t.Fatal(err)
	}
	// The lowest level, because most of an emulated node's time would go into another.
	se, err := b.Create(b.ctx, "--capture", "golden", "--nodes", n.MAC, "--level", "fast", "--then", "poweroff")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(se.Stop)
	b.on(n)
	v := b.done(se)
	b.off(n)
	p := v.Parts[n.ID]
	if !reached(v, n, session.StepUploaded) || p.Progress == nil || p.Progress.Sent == 0 ||
		p.Progress.Read < p.Progress.ToRead {
		t.Errorf("the node says %+v, progress %+v", p, p.Progress)
	} else {
		t.Logf("read %d bytes in %v, sent %d", p.Progress.Read,
			p.Steps[session.StepUploaded].Time.Sub(p.Steps[session.StepPlan].Time), p.Progress.Sent)
	}
	if _, err := b.Site.Run(b.ctx, "image", "verify", "golden", "--store", b.Store); err != nil {
		t.Error(err)
	}
	var local struct{ Digest string }
	if err := b.JSON(b.ctx, &local, "image", "capture", debian.Disk, "local", "--level", "fast", "--store",
		filepath.Join(b.dir, "local"), "--json"); err != nil {
		t.Fatal(err)
	}
	if got := v.Session.Image.Manifest; v.Session.State != doc.Done || got != local.Digest {
		t.Errorf("the node's capture is image %s, a local one of the same disk %s", got, local.Digest)
	}
	if err := proc.Run(b.ctx, nil, "cmp", n.Disk, debian.Disk); err != nil {
		t.Errorf("the captured disk was written to: %v", err)
	}
}
