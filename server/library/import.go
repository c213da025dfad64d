package library

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/diskcast/diskcast/internal/convert"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
)

// make makes an image of a file that came, and reads back what was stored before it gets its name.
func (u *Uploads) make(ctx context.Context, f *os.File, x Upload, w Watch) (*doc.JobResult, error) {
	st := u.lib.st
	began := time.Now()
	d, err := convert.OpenFile(ctx, f, "the file that was sent", convert.Options{Scratch: st.Dir()})
	var cut *convert.CutError
	if errors.As(err, &cut) {
		return nil, fmt.Errorf("%w. Send the whole of it; `diskcast image import --cut` takes what there is", err)
	}
	if err != nil {
		return nil, RoomHelp(err, st.Dir(), "", "the file and what it unpacks to are there at the same time")
	}
	defer d.Close()
	sector := int64(d.SectorSize())
	if d.Size() == 0 || d.Size()%sector != 0 {
		return nil, fmt.Errorf("the file that was sent (%s) has %d bytes, which is not a whole number of %d-byte "+
			"sectors: it is no disk image, or was cut", d.Format(), d.Size(), sector)
	}
	return u.imaged(ctx, d, x, w, began, false)
}

// imaged stores the disk; again says that damage in the store was found by a first try, and is not taken of.
func (u *Uploads) imaged(ctx context.Context, d convert.Disk, x Upload, w Watch, began time.Time, again bool) (
	*doc.JobResult, error) {
	st := u.lib.st
	r, err := capture.Capture(ctx, d, d.Size(), d.SectorSize(), capture.Options{Store: st, Level: x.Level,
		Created: began.UTC(), Survey: []capture.SurveyOption{capture.GuessedSector()}, Progress: w.Progress,
		Log: u.jobs.log})
	if err != nil {
		return nil, RoomHelp(err, st.Dir(), "", fmt.Sprintf("the disk has %s, of which an image takes what is in "+
			"use, compressed", units.Bytes(d.Size())))
	}
	im, err := st.Open(r.Digest)
	if err != nil {
		return nil, Advised(err)
	}
	defer im.Close()
	err = im.Verify(ctx, w.Progress)
	if errors.As(err, new(*image.DamageError)) && !again {
		if bad, marked := st.MarkDamaged(ctx, im); marked == nil && len(bad) > 0 {
			w.note("the store has some of these bytes in damaged blobs: they are stored anew")
			return u.imaged(ctx, d, x, w, began, true)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the image was stored and does not verify, so it did not get its name; is the store's "+
			"disk sound? %w", err)
	}
	if err := u.named(x, r.Digest); err != nil {
		return nil, err
	}
	out := &doc.ImageImported{Name: x.Name, Digest: r.Digest, Format: d.Format(), Disk: d.Size(), Object: r.Object,
		Added: r.Added, Notes: append(append([]string{}, d.Notes()...), ConfigNotes(r.Config)...),
		Seconds: time.Since(began).Seconds()}
	if c := r.Config; r.Object > 0 && len(c.Partitions) == 1 && c.Partitions[0].Number == 0 &&
		c.Partitions[0].FS == "raw" {
		out.Notes = append(out.Notes, "Neither a partition table nor a file system was recognised. An archive, or an "+
			"image of another program's, would be stored in this way too: is this a disk?")
	}
	return &doc.JobResult{Import: out}, nil
}

// named gives the image its name, unless another got that meanwhile.
func (u *Uploads) named(x Upload, digest string) error {
	if !x.Replace {
		if is, err := u.lib.st.Resolve(x.Name); err == nil && is != digest {
			return fmt.Errorf("%w %s since, so it did not get it: `diskcast image tag %s NAME` gives it another",
				ErrTaken, x.Name, digest)
		}
	}
	return u.lib.st.Tag(digest, x.Name)
}
