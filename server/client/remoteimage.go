package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/image"
)

// Image is an image of a server's that is read where it lies: its description is here, and what is read of its object
// is fetched then.
type Image struct {
	l              *Library
	ctx            context.Context
	out            *outage
	name, manifest string
	config         *image.Config
	index          *image.Index
}

// OpenImage opens the image with the digest of its manifest, which errors call by a name. What is read of it ends with
// ctx. note, which may be nil, is told of connections that break: once, every 30 s, and when the server answers again.
func (l *Library) OpenImage(ctx context.Context, name, manifest string, note func(string)) (*Image, error) {
	out := &outage{note: note}
	b, err := l.manifest(ctx, name, manifest, out)
	if err != nil {
		return nil, err
	}
	blobs, err := image.ParseManifest(b)
	if err != nil {
		return nil, err
	}
	if len(blobs) < 2 {
		return nil, fmt.Errorf("manifest %s: it names no index: %w", manifest, image.ErrFormat)
	}
	m := &Image{l: l, ctx: ctx, out: out, name: name, manifest: manifest}
	raw, err := m.whole(blobs[0], image.MaxConfig)
	if err == nil {
		m.config, err = image.ParseConfig(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("config of image %s: %w", name, err)
	}
	if raw, err = m.whole(blobs[1], image.MaxIndex); err == nil {
		m.index, err = image.ParseIndex(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("index of image %s: %w", name, err)
	}
	return m, nil
}

// whole fetches a blob and checks it against its digest.
func (m *Image) whole(b image.Blob, most int64) ([]byte, error) {
	if b.Size <= 0 || b.Size > most {
		return nil, fmt.Errorf("blob %s has %d bytes: %w", b.Digest, b.Size, image.ErrFormat)
	}
	return m.l.whole(m.ctx, m.name, b.Digest, b.Size, m.out)
}

// Name is what errors call the image.
func (m *Image) Name() string { return m.name }

// Manifest is the digest of the manifest: the image's identity.
func (m *Image) Manifest() string { return m.manifest }

// Config is the parsed config blob.
func (m *Image) Config() *image.Config { return m.config }

// Index is the parsed index blob.
func (m *Image) Index() *image.Index { return m.index }

// Damage is the error for a frame that is not what the index says.
func (m *Image) Damage(frame int, reason string) *image.DamageError {
	e := m.index.Damage(frame, reason)
	e.Image, e.Server = m.name, m.l.c.base.String()
	return e
}

// Object reads the image's object, by a request for each call. It may be used from several goroutines.
func (m *Image) Object() io.ReaderAt { return remoteObject{m} }

type remoteObject struct{ m *Image }

func (o remoteObject) ReadAt(p []byte, off int64) (n int, err error) {
	size := o.m.index.ObjectSize()
	want := p[:max(0, min(int64(len(p)), size-off))]
	if len(want) > 0 {
		err = again(o.m.ctx, o.m.out, func() error {
			body, err := o.m.l.object(o.m.ctx, o.m.manifest, off+int64(n), int64(len(want)-n))
			if err != nil {
				return err
			}
			defer body.Close()
			k, err := io.ReadFull(body, want[n:])
			if n += k; errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				// An object that ends too early is damaged; of one whose sending ended, nothing is known.
				err = fmt.Errorf("the server's answer broke off %d bytes before its end", len(want)-n)
			}
			return err
		})
	}
	if err == nil && len(want) < len(p) {
		err = io.EOF
	}
	return n, err
}
