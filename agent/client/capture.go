package client

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// Frame names a frame of a capture: BLAKE3 of its decoded bytes, and their number.
type Frame struct {
	Sum  [32]byte
	Size int64
}

func (f Frame) String() string {
	return hex.EncodeToString(f.Sum[:]) + "-" + strconv.FormatInt(f.Size, 10)
}

// finishWithin bounds the wait for the server to make an image of the frames: it reads and writes all of them.
const finishWithin = time.Hour

// HasFrame asks whether the server needs the frame for the capture of a disk of so many bytes.
func (c *Client) HasFrame(ctx context.Context, capture string, disk int64, f Frame) (have bool, err error) {
	err = c.authorised(ctx, "frame", func(ctx context.Context, node, token string) error {
		resp, err := c.send(ctx,
			request{method: http.MethodGet,
				path: []string{"v1", "node", node, "captures", capture, "frames", f.String()}, token: token,
				query: diskQuery(disk)})
		if err != nil {
			return err
		}
		defer drain(resp)
		var reply session.FrameReply
		if err := session.Decode(resp.Body, &reply); err != nil {
			return permanent{fmt.Errorf("frame: %w", err)}
		}
		have = reply.Have
		return nil
	})
	return have, err
}

// PutFrame sends a frame.
func (c *Client) PutFrame(ctx context.Context, capture string, disk int64, f Frame, stored []byte) error {
	return c.authorised(ctx, "frame", func(ctx context.Context, node, token string) error {
		// 64 KiB a second is the least that counts as progress.
		ctx, cancel := context.WithTimeout(ctx, c.o.Timeout+time.Duration(len(stored)>>16)*time.Second)
		defer cancel()
		resp, err := c.send(ctx,
			request{method: http.MethodPut,
				path: []string{"v1", "node", node, "captures", capture, "frames", f.String()}, token: token,
				query: diskQuery(disk), body: stored, kind: "application/zstd", ownTimeout: true})
		if err == nil {
			drain(resp)
		}
		return err
	})
}

// FinishCapture has the server make an image of what was sent, and returns its digest. A *StatusError with code 409
// says that frames are missing.
func (c *Client) FinishCapture(ctx context.Context, capture string, disk int64, config, index []byte) (digest string,
	err error) {
	query := diskQuery(disk)
	query.Set("config", strconv.Itoa(len(config)))
	body := append(append([]byte(nil), config...), index...)
	err = c.authorised(ctx, "capture", func(ctx context.Context, node, token string) error {
		ctx, cancel := context.WithTimeout(ctx, finishWithin)
		defer cancel()
		resp, err := c.send(ctx,
			request{method: http.MethodPost, path: []string{"v1", "node", node, "captures", capture, "finish"},
				token: token,
				query: query, body: body, kind: "application/octet-stream", ownTimeout: true})
		if err != nil {
			return err
		}
		defer drain(resp)
		var reply session.CaptureReply
		if err := session.Decode(resp.Body, &reply); err != nil {
			return permanent{fmt.Errorf("capture: %w", err)}
		}
		digest = reply.Digest
		return nil
	})
	return digest, err
}

func diskQuery(disk int64) url.Values { return url.Values{"disk": {strconv.FormatInt(disk, 10)}} }
