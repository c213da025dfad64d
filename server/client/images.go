package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/library"
)

// patience is how long after a first failure a server is asked again.
const patience = time.Minute

// again does f until it works. What is final, and what ctx ends, is not tried again.
func again(ctx context.Context, o *outage, f func() error) error {
	var failing time.Time // since when
	for {
		began := time.Now()
		err := f()
		now := time.Now()
		// A try of so long has heard of the server: one that says nothing ends sooner.
		if failing.IsZero() || now.Sub(began) > 2*patience {
			failing = now
		}
		switch {
		case err == nil:
			o.over()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err), errors.Is(err, image.ErrFormat), errors.As(err, new(*image.DamageError)),
			errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT): // the disk here: a server's comes as a status
			o.over()
			return err
		case now.Sub(failing) >= patience:
			return err
		}
		o.failed(err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// damaged is the error for what came of the server to its end and is not what its digest says. Nothing on the way
// changes what TLS brings: so it is in the server's store.
func (l *Library) damaged(ref string, err error) error {
	damage, ok := errors.AsType[*image.DamageError](err)
	if ok && damage.File == "" {
		damage.Image, damage.Server = ref, l.c.base.String()
		return damage // without what says the same around it
	}
	return err
}

// Fetch takes an image of the server's, which errors call ref, into a store here, under the name, which may be empty.
// Every blob's digest is checked; blobs that are there are not fetched, and what was broken off is taken up where it
// was. What is damaged at the server is a *image.DamageError, at once.
func (l *Library) Fetch(ctx context.Context, ref, digest string, to *image.Store, name string, w library.Watch) error {
	o := &outage{note: w.Note}
	manifest, err := l.manifest(ctx, ref, digest, o)
	if err != nil {
		return err
	}
	blobs, err := image.ParseManifest(manifest)
	if err != nil {
		return err
	}
	in, err := to.NewIngest()
	if err != nil {
		return err
	}
	defer in.Close()
	done, total := int64(0), int64(0)
	for _, b := range blobs {
		total += b.Size
	}
	for _, b := range blobs {
		before := done
		err := again(ctx, o, func() error {
			done = before // what is there is counted again
			return in.Blob(ctx, b, func(off int64) (io.ReadCloser, error) { return l.blob(ctx, b.Digest, off) },
				func(n int64) {
					if done += n; w.Progress != nil {
						w.Progress(done, total)
					}
				})
		})
		if err != nil {
			return l.damaged(ref, err)
		}
	}
	_, err = in.Commit(manifest, name, time.Now().UTC(), nil)
	return err
}

func (l *Library) manifest(ctx context.Context, ref, digest string, o *outage) ([]byte, error) {
	return l.whole(ctx, ref, digest, image.MaxManifest, o)
}

// whole fetches a blob of at most so many bytes and checks it against its digest.
func (l *Library) whole(ctx context.Context, ref, digest string, most int64, o *outage) (b []byte, err error) {
	err = again(ctx, o, func() error {
		body, err := l.blob(ctx, digest, 0)
		if err != nil {
			return err
		}
		defer body.Close()
		b, err = io.ReadAll(io.LimitReader(body, most+1))
		return err
	})
	if err == nil && image.Digest(b) != digest {
		err = l.damaged(ref, &image.DamageError{Chunk: -1, Blob: digest, Length: int64(len(b)),
			Reason: "its bytes have the digest " + image.Digest(b) + ", not that of its name"})
	}
	return b, err
}

// blob reads a blob from a byte on.
func (l *Library) blob(ctx context.Context, digest string, off int64) (io.ReadCloser, error) {
	return l.ranged(ctx, "blob", digest, fmt.Sprintf("bytes=%d-", off), off > 0)
}

// object reads n bytes of an image's object, from off on.
func (l *Library) object(ctx context.Context, manifest string, off, n int64) (io.ReadCloser, error) {
	return l.ranged(ctx, "object", manifest, fmt.Sprintf("bytes=%d-%d", off, off+n-1), true)
}

// ranged reads a range of a blob or an object; an answer that is not a part of it is refused where one must be.
func (l *Library) ranged(ctx context.Context, what, digest, span string, part bool) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := l.c.send(ctx, "GET", "/v1/"+what+"s/"+digest, nil, "Range", span)
	if err == nil && part && resp.StatusCode != http.StatusPartialContent {
		resp.Body.Close()
		err = fmt.Errorf("%s %s: the server answers a range with status %d", what, digest, resp.StatusCode)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &heardBody{ReadCloser: resp.Body, ctx: ctx, cancel: cancel}
	b.silence = time.AfterFunc(deaf, func() { cancel(fmt.Errorf("nothing was heard from the server for %v", deaf)) })
	return b, nil
}

// heardBody is a body of which something must come now and then.
type heardBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	silence *time.Timer
}

func (b *heardBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.silence.Reset(deaf)
	if cause := context.Cause(b.ctx); err != nil && err != io.EOF && cause != nil {
		err = cause // of its end by silence the reader knows no more than that it was ended
	}
	return n, err
}

func (b *heardBody) Close() error {
	b.silence.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// Import is an image on its way to a server, frame by frame. The same ID goes on where it was broken off.
type Import struct {
	ID                  string // 1 to 40 small letters and digits
	Name, Level, Parent string
	Grid, Disk          int64
	Note                func(words string) // may be nil

	l   *Library
	out *outage
}

var _ capture.Remote = (*Import)(nil)

// Import begins to bring an image to the server.
func (l *Library) Import(im Import) *Import {
	im.l, im.out = l, &outage{note: im.Note}
	return &im
}

func (i *Import) path(rest string, more ...string) string {
	q := url.Values{"disk": {strconv.FormatInt(i.Disk, 10)}, "grid": {strconv.FormatInt(i.Grid, 10)}, "name": {i.Name},
		"level": {i.Level}}
	if i.Parent != "" {
		q.Set("parent", i.Parent)
	}
	for n := 0; n+1 < len(more); n += 2 {
		q.Set(more[n], more[n+1])
	}
	return "/v1/imports/" + i.ID + rest + "?" + q.Encode()
}

func frameName(sum [32]byte, size int64) string { return fmt.Sprintf("/frames/%x-%d", sum, size) }

// Has implements capture.Remote.
func (i *Import) Has(ctx context.Context, sum [32]byte, size int64) (have bool, err error) {
	err = again(ctx, i.out, func() error {
		r, err := call[session.FrameReply](ctx, i.l.c, "GET", i.path(frameName(sum, size)), nil)
		have = r.Have
		return err
	})
	return have, err
}

// Put implements capture.Remote.
func (i *Import) Put(ctx context.Context, sum [32]byte, size int64, stored []byte) error {
	return again(ctx, i.out, func() error {
		resp, err := i.l.c.send(ctx, "PUT", i.path(frameName(sum, size)), stored)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// Finish has the server make the image of what was sent, and returns its digest.
func (i *Import) Finish(ctx context.Context, cfg *image.Config, x *image.Index) (digest string, err error) {
	config, err := cfg.Marshal()
	if err != nil {
		return "", err
	}
	body, err := x.AppendBinary(bytes.Clone(config))
	if err != nil {
		return "", err
	}
	err = again(ctx, i.out, func() error {
		resp, err := i.l.c.send(ctx, "POST", i.path("/finish", "config", strconv.Itoa(len(config))), body)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var r session.CaptureReply
		if err := session.Decode(resp.Body, &r); err != nil {
			return fmt.Errorf("answer is not understood: %w", err)
		}
		digest = r.Digest
		return nil
	})
	return digest, err
}

// Rest says that nothing more comes for now, so that the server can let go of what was sent; it stays for another try.
func (i *Import) Rest(ctx context.Context) error {
	_, err := call[struct{}](ctx, i.l.c, "DELETE", "/v1/imports/"+i.ID, nil)
	return err
}
