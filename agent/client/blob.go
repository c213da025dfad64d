package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
)

// Blob fetches a whole blob, the config or the index of an image, of at most image.MaxIndex bytes, and checks it
// against its digest. A connection that breaks is resumed where it broke.
func (c *Client) Blob(ctx context.Context, b session.Blob) ([]byte, error) {
	if b.Size <= 0 || b.Size > image.MaxIndex {
		return nil, fmt.Errorf("blob %s: size of %d bytes is not in 1..%d", b.Digest, b.Size, image.MaxIndex)
	}
	hexsum, ok := strings.CutPrefix(b.Digest, "sha256:")
	if !ok {
		return nil, fmt.Errorf("blob %s: only sha256 digests are known", b.Digest)
	}
	var buf bytes.Buffer
	buf.Grow(int(b.Size)) // growing by and by takes twice as much
	err := c.stream(ctx, "blob "+b.Digest, []string{"v1", "blobs", b.Digest}, 0, b.Size, func(_ int64, p []byte) error {
		buf.Write(p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(buf.Bytes()); hex.EncodeToString(sum[:]) != hexsum {
		return nil, fmt.Errorf("blob %s: the server sent %d bytes with another hash (sha256:%x): its store is "+
			"damaged, run 'diskcast image verify' there", b.Digest, buf.Len(), sum)
	}
	return buf.Bytes(), nil
}

// piece is the most that Object hands over at once, in bytes.
const piece = 256 << 10

// Object fetches bytes [off, off+n) of an image's object and hands them over in order, in pieces of at most 256 KiB
// that are valid only during the call. A connection that breaks is resumed where it broke; an error of fn ends it.
func (c *Client) Object(ctx context.Context, manifest string, off, n int64, fn func(off int64, p []byte) error) error {
	return c.stream(ctx, fmt.Sprintf("object %s, bytes %d+%d", manifest, off, n), []string{"v1", "objects", manifest},
		off, n, fn)
}

// stream fetches a range, resuming it as often as needed.
func (c *Client) stream(ctx context.Context, what string, path []string, off, n int64,
	fn func(int64, []byte) error) error {
	end := off + n
	buf := make([]byte, min(piece, n))
	for off < end {
		err := c.authorised(ctx, what, func(ctx context.Context, _, token string) error {
			at := off
			err := c.attempt(ctx, path, token, buf, &off, end, fn)
			if err != nil && off > at && !errors.As(err, new(permanent)) && ctx.Err() == nil {
				// It broke after some bytes: progress, so the next attempt needs no pause.
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// attempt makes one request and advances *off by what it handed over.
func (c *Client) attempt(ctx context.Context, path []string, token string, buf []byte, off *int64, end int64,
	fn func(int64, []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The attempt ends when nothing has come for the time of one timeout, however long the whole takes.
	stall := time.AfterFunc(c.o.Timeout, func() { cancel(fmt.Errorf("nothing came for %v", c.o.Timeout)) })
	defer stall.Stop()

	resp, err := c.send(ctx, request{
		method: http.MethodGet, path: path, token: token, ownTimeout: true,
		ranged: fmt.Sprintf("bytes=%d-%d", *off, end-1),
	})
	if err != nil {
		return c.cause(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent:
		var from, to int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &from, &to); err != nil ||
			from != *off {
			return permanent{fmt.Errorf("asked for bytes from %d, the server sent %q", *off,
				resp.Header.Get("Content-Range"))}
		}
	case resp.StatusCode == http.StatusOK && *off == 0:
	default:
		return permanent{fmt.Errorf("asked for bytes from %d, the server answered %d without a range", *off,
			resp.StatusCode)}
	}
	for *off < end {
		k, err := io.ReadFull(resp.Body, buf[:min(int64(len(buf)), end-*off)])
		if k > 0 {
			stall.Stop() // fn may wait for the disk; that is no stall of the server
			if err := fn(*off, buf[:k]); err != nil {
				return permanent{err}
			}
			*off += int64(k)
			stall.Reset(c.o.Timeout)
		}
		if err != nil && *off < end {
			return c.cause(ctx, fmt.Errorf("broke off at byte %d of %d: %w", *off, end, err))
		}
	}
	return nil
}

// cause prefers the reason for which the attempt was cancelled to "context canceled".
func (c *Client) cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
