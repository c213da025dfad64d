package imaging

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
)

// onForgetful restores to a disk that fails so often in the middle of the image.
func onForgetful(t *testing.T, times int) (*world, error) {
	t.Helper()
	w := newWorld(t)
	chunks := w.im.Index().Chunks
	o := w.options(w.multicast(nil))
	at := chunks[len(chunks)/2].Extents[0].Offset + 77
	o.Disks = onDisk{w, &imagetest.Forgetful{Memory: w.target, At: at, Times: times}}
	_, err := Restore(t.Context(), w.descriptor(), nil, o)
	return w, err
}

type onDisk struct {
	*world
	disk restore.Target
}

func (o onDisk) Open(session.Disk) (restore.Target, error) { return o.disk, nil }

func TestReadBackRepairs(t *testing.T) {
	w, err := onForgetful(t, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.complete()
	w.order("written", "chunk", "written", "verified")
	w.mustSay("the disk did not keep what was written", "fetched and written once more")
	if most := w.im.ObjectSize() / 4; w.fetched == 0 || w.fetched > most {
		t.Errorf("%d bytes by HTTP for one chunk", w.fetched)
	}
}

func TestReadBackGivesUp(t *testing.T) {
	w, err := onForgetful(t, 2)
	if err == nil || !strings.Contains(err.Error(), "/dev/vda does not hold what was written to it") {
		t.Errorf("error %v", err)
	}
	if w.said("info verified") {
		t.Error("a success was reported")
	}
}

// TestForgedChecksum has somebody who knows the cast's key send a chunk whose CRC-32C is right and whose content is
// not. It is written, since the disk will be read back, found, and replaced.
func TestForgedChecksum(t *testing.T) {
	w := newWorld(t)
	good := w.object
	bad := forge(t, w)
	w.object = bad
	err := w.restore(w.descriptor(), w.multicast(func(ctx context.Context, f *fakeCast) error {
		err := f.bring(ctx, 1<<62)
		w.object = good
		return err
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.complete()
	w.order("written", "chunk", "written", "verified")
	w.mustSay("its BLAKE3 sum is not the image's")
}

// forge returns the object with a frame that decodes to something else and has the CRC-32C of the true one.
func forge(t *testing.T, w *world) []byte {
	t.Helper()
	// The generator polynomial as bytes of a message: a multiple of it anywhere changes no CRC.
	const generator = 1 | uint64(0x82F63B78)<<1
	d, err := image.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	object := append([]byte(nil), w.object...)
	for i := range w.im.Index().Frames {
		f := &w.im.Index().Frames[i]
		stored := object[f.Object : f.Object+f.Length]
		at := stored[len(stored)/2:]
		if len(at) < 8 {
			continue
		}
		flip := func() { binary.LittleEndian.PutUint64(at, binary.LittleEndian.Uint64(at)^generator) }
		flip()
		if image.Checksum(stored) != f.CRC {
			t.Fatal("the CRC has changed")
		}
		buf := make([]byte, f.Size+image.Slack)
		if _, err := d.DecodeUnsummed(f, stored, buf); err == nil {
			if _, err := d.Decode(f, stored, buf); err == nil {
				t.Fatal("the content has not changed")
			}
			return object
		}
		flip()
	}
	t.Fatal("no frame still decodes with another content")
	return nil
}
