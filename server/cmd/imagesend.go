package cmd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/library"
)

// uploads is how many frames are on their way to a server at the same time; readings is how often a disk is read when
// the server has lost some.
const (
	uploads  = 4
	readings = 3
)

// importOf begins to send what lies at a path. Begun again, it goes on where it was: the same path and name give the
// same import.
func (e *env) importOf(path string, c *captureFlags, level string, grid, disk int64) (
	*client.Library, *client.Import, error) {
	conn, err := e.dial(e.images)
	if err != nil {
		return nil, nil, err
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %d", path, c.name, grid, disk))
	l := conn.Library()
	return l, l.Import(client.Import{ID: hex.EncodeToString(sum[:16]), Name: c.name, Level: level, Parent: c.parent,
		Grid: grid, Disk: disk, Note: e.Note}), nil
}

// captureThere reads the source here, sends what the server's store does not have, and has the server verify what it
// stored.
func (e *env) captureThere(ctx context.Context, path string, src io.ReaderAt, size int64, sector int, c *captureFlags,
	survey []capture.SurveyOption, held *capture.Source,
	notes []string) error {
	d, src, err := capture.Look(src, size, sector, c.by, survey...)
	if err != nil {
		return fmt.Errorf("capture of %s: %w", path, err)
	}
	size = d.Config.DiskSize
	if held != nil && len(held.Users) > 0 {
		d.Table.Notes = append(d.Table.Notes, capture.LiveNote(held.Users))
	}
	grid := c.cell
	if grid == 0 {
		grid = image.GridFor(size)
	}
	l, im, err := e.importOf(path, c, c.level, grid, size)
	if err != nil {
		return err
	}
	was := e.named(ctx, l, c.name)
	began := time.Now()
	out := captured{Name: c.name}
	res := capture.Result{Config: d.Config}
	send := func() (string, error) {
		for reading := 1; ; reading++ {
			out.Digest, out.Added, err = e.sendDisk(ctx, path, src, d, im, c, held, &res)
			var status *client.StatusError
			if !errors.As(err, &status) || status.Code != http.StatusConflict || reading == readings {
				break
			}
			e.Warn("the server lacks frames that it had taken; reading again for them")
		}
		if err != nil {
			e.rest(ctx, im)
			return "", fmt.Errorf("capture of %s: %w (started again, it goes on where it was)", path, err)
		}
		out.Seconds = time.Since(began).Seconds()
		return out.Digest, nil
	}
	var healed []string
	if out.VerifySeconds, healed, err = e.sendSound(ctx, l, c.name, send); err != nil {
		return err
	}
	notes = append(notes, healed...)
	shown, err := l.Show(ctx, out.Digest, 0)
	if err != nil {
		return err
	}
	res.Object = shown.Object
	out.Read, out.Holes, out.Zeros, out.Object = res.Read, res.Holes, res.Zeros, res.Object
	out.Notes = append(append(notes, library.ConfigNotes(d.Config)...), unrecognised(&res)...)
	e.nameMoved(c.name, was, out.Digest)
	return e.printCaptured(&out)
}

// rest lets the server go on without us, also when we were interrupted. It does so by itself after a while.
func (e *env) rest(ctx context.Context, im *client.Import) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var pin *identity.PinError // of a server that has nothing of this
	if err := im.Rest(ctx); err != nil && !errors.As(err, &pin) {
		e.Note("the server was not told that nothing more comes (" + err.Error() +
			"): it frees no space for 15 minutes")
	}
}

// sendDisk reads the source once.
func (e *env) sendDisk(ctx context.Context, path string, src io.ReaderAt, d *capture.Disk, im *client.Import,
	c *captureFlags, held *capture.Source, res *capture.Result) (digest string, sent int64, err error) {
	rec := capture.NewRecorder(ctx, im, im.Disk, im.Grid, uploads)
	defer rec.Close()
	*res = capture.Result{Config: d.Config}
	bar := e.Progress("reading " + path)
	err = capture.Chunks(ctx, src, d, rec, capture.Options{Level: c.level, Grid: im.Grid, Workers: c.workers,
		Memory: 224 << 20, Log: e.quiet(), Progress: bar.Update}, res)
	bar.Close()
	if err != nil {
		return "", rec.Sent(), err
	}
	if held != nil {
		if err := held.Changed(); err != nil {
			return "", rec.Sent(), err
		}
	}
	x, err := rec.Index()
	if err != nil {
		return "", rec.Sent(), err
	}
	digest, err = finishThere(ctx, im, d.Config, x, c.level)
	return digest, rec.Sent(), err
}

func finishThere(ctx context.Context, im *client.Import, config *image.Config, x *image.Index, level string) (
	string, error) {
	cfg := *config
	cfg.Level = level
	content := x.Content()
	cfg.Content = hex.EncodeToString(content[:])
	return im.Finish(ctx, &cfg, x)
}

// sendSound sends an image and has the server verify it; once more where the server seemed to have some of the bytes
// and has them in damaged blobs, which it knows then and takes nothing of. notes are for the operator.
func (e *env) sendSound(ctx context.Context, l *client.Library, name string, send func() (digest string, err error)) (
	seconds float64, notes []string, err error) {
	for again := false; ; again = true {
		digest, err := send()
		if err != nil {
			return 0, nil, err
		}
		seconds, err = e.verifyThere(ctx, l, digest, name)
		switch {
		case err == nil && again:
			notes, err = e.healedThere(ctx, l)
			return seconds, notes, err
		case err == nil:
			return seconds, nil, nil
		case again || kind(err) != doc.KindDamaged:
			return 0, nil, err
		}
		e.Warn("the server's store has some of these bytes in damaged blobs: they are sent again and stored anew")
	}
}

// healedThere says what is still damaged in a server's store of which something was stored anew.
func (e *env) healedThere(ctx context.Context, l *client.Library) ([]string, error) {
	list, err := l.List(ctx)
	if err != nil {
		return nil, err
	}
	var still []string
	for _, row := range list {
		if row.Problem != "" {
			still = append(still, cmp.Or(row.Name, short(row.Digest)))
		}
	}
	if len(still) == 0 {
		return []string{"what was damaged in the server's store is sound again."}, nil
	}
	return []string{fmt.Sprintf("what this image needs of damaged blobs of the server's store was stored anew; these "+
		"images there are still damaged: %s. Import their disks again too, and free the rest with `diskcast image gc "+
		"--unnamed --server %s`.", strings.Join(still, ", "), e.images)}, nil
}

func (e *env) verifyThere(ctx context.Context, l *client.Library, digest, name string) (seconds float64, err error) {
	began := time.Now()
	bar := e.Progress("verifying " + name)
	_, err = l.Do(ctx, doc.JobSpec{Kind: doc.JobVerify, Image: digest},
		library.Watch{Progress: bar.Update, Note: e.Note})
	bar.Close()
	if err != nil {
		return 0, fmt.Errorf("the image was stored and does not verify; is the disk of the server's store sound? %w",
			err)
	}
	return time.Since(began).Seconds(), nil
}

// sendLayout sends an image of an OCI layout here, frame by frame as they are.
func (e *env) sendLayout(ctx context.Context, from *image.Store, ref, dir string, c *captureFlags) error {
	src, err := from.Open(ref)
	if err != nil {
		return err
	}
	defer src.Close()
	x, cfg := src.Index(), src.Config()
	l, im, err := e.importOf(dir+" "+ref, c, cfg.Level, x.Grid, cfg.DiskSize)
	if err != nil {
		return err
	}
	was := e.named(ctx, l, c.name)
	began := time.Now()
	var digest string
	send := func() (string, error) {
		bar := e.Progress("sending " + ref)
		err := sendFrames(ctx, src, im, bar.Update)
		bar.Close()
		if err == nil {
			digest, err = finishThere(ctx, im, cfg, x, cfg.Level)
		}
		if err == nil {
			return digest, nil
		}
		e.rest(ctx, im)
		if errors.As(err, new(*image.DamageError)) {
			return "", notSound(ref, dir, err)
		}
		return "", fmt.Errorf("copy of %s from %s: %w (started again, it goes on where it was)", ref, dir, err)
	}
	_, notes, err := e.sendSound(ctx, l, c.name, send)
	if err != nil {
		return err
	}
	took := time.Since(began)
	e.nameMoved(c.name, was, digest)
	if e.JSON {
		for _, n := range notes {
			e.Note(n)
		}
		return e.Doc(doc.ImageMoved{Name: c.name, Digest: digest, Seconds: took.Seconds()})
	}
	if _, err = fmt.Fprintf(e.Out, "%s  %s\ncopied from %s in %.1f s, every frame hashed\n", c.name, digest, dir,
		took.Seconds()); err != nil {
		return err
	}
	return printNotes(e.Out, notes)
}

// sendFrames sends those frames of an image that the server does not have, decoded and hashed first: what is damaged
// here is said to be here.
func sendFrames(ctx context.Context, src *image.Image, im *client.Import, progress image.Progress) error {
	dec, err := image.NewDecoder()
	if err != nil {
		return err
	}
	defer dec.Close()
	x := src.Index()
	buf := make([]byte, x.Grid+image.Slack)
	var stored []byte
	for n := range x.Frames {
		f := &x.Frames[n]
		have, err := im.Has(ctx, f.Sum, f.Size)
		if err != nil {
			return err
		}
		if !have {
			if int64(cap(stored)) < f.Length {
				stored = make([]byte, f.Length)
			}
			stored = stored[:f.Length]
			if _, err := src.Object().ReadAt(stored, f.Object); err != nil && !errors.Is(err, io.EOF) {
				return src.Damage(n, "it cannot be read: "+err.Error())
			}
			if _, err := dec.Decode(f, stored, buf); err != nil {
				return src.Damage(n, err.Error())
			}
			if err := im.Put(ctx, f.Sum, f.Size, stored); err != nil {
				return err
			}
		}
		progress(f.Object+f.Length, src.ObjectSize())
	}
	return nil
}
