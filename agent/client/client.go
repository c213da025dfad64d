// Package client speaks the node API (docs/node-api.md): hello, descriptor, events, blobs and ranges of an image's
// object, over TLS with the server's key pinned.
//
// A server that is away is no error: every call tries again, with growing pauses, until it answers or ctx ends, and
// says in the log since when it has been away and why. Only an answer that more tries cannot change is returned as an
// error.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// Options of a client.
type Options struct {
	Server string // https://host:port
	Pin    Pin
	// Hello is what the node says of itself; it is asked anew for every hello, which happens at the start and
	// whenever the server does not know the token any more.
	Hello func() session.Hello
	Log   *slog.Logger // nil discards
	// Beat is called with each attempt to get a descriptor; nil: nothing is.
	Beat func()
	// Backoff is the first pause after a failure and the longest; 0 means 250 ms and 10 s.
	Backoff, MaxBackoff time.Duration
	// Timeout bounds one attempt without progress; 0 means 15 s.
	Timeout time.Duration
}

// Client is safe for several goroutines.
type Client struct {
	o    Options
	base *url.URL
	http *http.Client
	away away
	// every is how often the server wants to be told of progress; 0: it has not said.
	every atomic.Int64

	mu    sync.Mutex
	node  string
	token string
	// greet lets one goroutine at a time say hello.
	greet sync.Mutex
}

// New prepares a client; it sends nothing.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Server)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("server %q is not of the form https://host:port", o.Server)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Beat == nil {
		o.Beat = func() {}
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 10 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	dialer := &net.Dialer{Timeout: o.Timeout, KeepAlive: 10 * time.Second}
	c := &Client{o: o, base: base, http: &http.Client{
		// A redirect would carry the token elsewhere; the node API has none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSClientConfig:     tlsConfig(o.Pin),
			TLSHandshakeTimeout: o.Timeout,
			IdleConnTimeout:     time.Minute,
			MaxIdleConnsPerHost: 8,
			// Frames are compressed already, and ranges are of the bytes as they are.
			DisableCompression: true,
		},
	}}
	c.away = away{log: o.Log, server: o.Server}
	return c, nil
}

// Node is the server's name for this node; empty before the first Connect.
func (c *Client) Node() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node
}

func (c *Client) identity() (node, token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node, c.token
}

// preparing is how long Prepare takes at most: who then says hello without it has lost no more.
const preparing = 2 * time.Second

// Prepare makes the connection that the next request uses, where the server answers. What keeps it from that, the next
// request tells.
func (c *Client) Prepare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, preparing)
	defer cancel()
	if resp, err := c.send(ctx, request{method: http.MethodGet, path: []string{"healthz"}}); err == nil {
		drain(resp)
	}
}

// Connect says hello until the server knows this node.
func (c *Client) Connect(ctx context.Context) error {
	return c.hello(ctx, "")
}

// hello gets a token unless another goroutine has replaced the one called stale meanwhile.
func (c *Client) hello(ctx context.Context, stale string) error {
	c.greet.Lock()
	defer c.greet.Unlock()
	if _, token := c.identity(); token != stale {
		return nil
	}
	h := c.o.Hello()
	h.V = session.Version
	body, err := json.Marshal(&h)
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	return c.retry(ctx, "hello", func(ctx context.Context) error {
		resp, err := c.send(ctx, request{method: http.MethodPost, path: []string{"v1", "node", "hello"}, body: body})
		if err != nil {
			return err
		}
		defer drain(resp)
		var reply session.HelloReply
		if err := session.Decode(resp.Body, &reply); err != nil {
			return permanent{fmt.Errorf("the server's answer to hello: %w", err)}
		}
		c.mu.Lock()
		c.node, c.token = reply.Node, reply.Token
		c.mu.Unlock()
		return nil
	})
}

// Descriptor waits up to about wait for a descriptor with a serial above after; nil when there was none.
func (c *Client) Descriptor(ctx context.Context, after uint64, wait time.Duration) (*session.Descriptor, error) {
	var d *session.Descriptor
	err := c.authorised(ctx, "descriptor", func(ctx context.Context, node, token string) error {
		c.o.Beat()
		ctx, cancel := context.WithTimeout(ctx, wait+c.o.Timeout)
		defer cancel()
		resp, err := c.send(ctx, request{
			method: http.MethodGet, path: []string{"v1", "node", node, "descriptor"}, token: token, ownTimeout: true,
			query: url.Values{"after": {strconv.FormatUint(after, 10)}, "wait": {wait.String()}},
		})
		if err != nil {
			return err
		}
		defer drain(resp)
		if resp.StatusCode == http.StatusNoContent {
			return nil
		}
		got := new(session.Descriptor)
		if err := session.Decode(resp.Body, got); err != nil {
			return permanent{fmt.Errorf("descriptor: %w", err)}
		}
		d = got
		return nil
	})
	return d, err
}

// Refresh says hello again, with what the node's hardware is now. The server knows the same boot by its name.
func (c *Client) Refresh(ctx context.Context) error {
	_, token := c.identity()
	return c.hello(ctx, token)
}

// ChooseDisk tells the server which disk the node's plan chose as the session's disk of, and returns the one that
// counts for the session. The server looks for the disk in the node's inventory, so that is told anew before.
func (c *Client) ChooseDisk(ctx context.Context, id string, of int, disk session.DiskID) (session.DiskID, error) {
	if err := c.Refresh(ctx); err != nil {
		return session.DiskID{}, err
	}
	body, err := json.Marshal(&session.DiskChoice{V: session.Version, Session: id, Disk: disk, Of: of})
	if err != nil {
		return session.DiskID{}, fmt.Errorf("disk choice: %w", err)
	}
	var reply session.DiskChoice
	err = c.authorised(ctx, "disk choice", func(ctx context.Context, node, token string) error {
		resp, err := c.send(ctx,
			request{method: http.MethodPost, path: []string{"v1", "node", node, "disk"}, token: token, body: body})
		if err != nil {
			return err
		}
		defer drain(resp)
		if err := session.Decode(resp.Body, &reply); err != nil {
			return permanent{fmt.Errorf("disk choice: %w", err)}
		}
		return nil
	})
	return reply.Disk, err
}

// PostEvents delivers one batch.
func (c *Client) PostEvents(ctx context.Context, batch session.Events) error {
	batch.V = session.Version
	return c.post(ctx, "events", &batch)
}

// ReportEvery is how often the server wants to be told of progress, by its last answer.
func (c *Client) ReportEvery() time.Duration {
	return max(session.ReportEvery, time.Duration(c.every.Load()))
}

// PostLook tells the server what the node saw when it was asked to look.
func (c *Client) PostLook(ctx context.Context, r *session.LookResult) error {
	return c.post(ctx, "look", r)
}

// Choose tells the server what somebody at this node's console chose, and returns what becomes of it.
func (c *Client) Choose(ctx context.Context, choice *session.MenuChoice) (*session.MenuReply, error) {
	body, err := json.Marshal(choice)
	if err != nil {
		return nil, fmt.Errorf("menu: %w", err)
	}
	var reply session.MenuReply
	err = c.authorised(ctx, "menu", func(ctx context.Context, node, token string) error {
		resp, err := c.send(ctx,
			request{method: http.MethodPost, path: []string{"v1", "node", node, "menu"}, token: token, body: body})
		if err != nil {
			return err
		}
		defer drain(resp)
		if err := session.Decode(resp.Body, &reply); err != nil {
			return permanent{fmt.Errorf("menu: %w", err)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &reply, nil
}

// post delivers a document to the node's path of the name, whose answer has nothing in it.
func (c *Client) post(ctx context.Context, name string, doc any) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return c.authorised(ctx, name, func(ctx context.Context, node, token string) error {
		resp, err := c.send(ctx,
			request{method: http.MethodPost, path: []string{"v1", "node", node, name}, token: token, body: body})
		if err == nil {
			if name == "events" {
				c.every.Store(int64(session.ReportEveryOf(resp.Header)))
			}
			drain(resp)
		}
		return err
	})
}

// authorised runs fn with the node's name and token, and says hello again when the server knows neither:
// it was set up anew, or lost what it had not yet written when it was killed.
func (c *Client) authorised(ctx context.Context, what string,
	fn func(ctx context.Context, node, token string) error) error {
	unknown := 0
	return c.retry(ctx, what, func(ctx context.Context) error {
		node, token := c.identity()
		err := fn(ctx, node, token)
		var status *StatusError
		if !errors.As(err, &status) || (status.Code != http.StatusUnauthorized && status.Code != http.StatusForbidden) {
			return err
		}
		// Two refusals of tokens that are fresh from hello: more hellos will not help at once, so go the way of the
		// growing pauses.
		if unknown++; unknown <= 2 {
			c.o.Log.Warn("the server does not know this node's token any more; saying hello again")
			if err := c.hello(ctx, token); err != nil {
				return err
			}
			return errAgain
		}
		return err
	})
}

type request struct {
	method     string
	path       []string
	query      url.Values
	token      string
	body       []byte
	kind       string // Content-Type of body; empty means JSON
	ranged     string // value of the Range header
	ownTimeout bool   // the caller bounds the attempt itself
}

// send makes one attempt. An answer that is not 2xx is a *StatusError.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	cancel := context.CancelFunc(func() {})
	if !r.ownTimeout {
		ctx, cancel = context.WithTimeout(ctx, c.o.Timeout)
	}
	u := c.base.JoinPath(r.path...)
	u.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		cancel()
		return nil, permanent{err}
	}
	if r.body != nil {
		if r.kind == "" {
			r.kind = "application/json"
		}
		req.Header.Set("Content-Type", r.kind)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.ranged != "" {
		req.Header.Set("Range", r.ranged)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		drain(resp)
		cancel()
		return nil, &StatusError{Op: r.method + " " + u.Path, Code: resp.StatusCode, Text: errorText(text)}
	}
	resp.Body = &cancelBody{ReadCloser: resp.Body, cancel: cancel}
	return resp, nil
}

// errorText is what the server says of an error: {"error": "words"}, or whatever a proxy in between sends.
func errorText(body []byte) string {
	var doc struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &doc) == nil && doc.Error != "" {
		return doc.Error
	}
	return strings.TrimSpace(string(body))
}

// cancelBody releases the attempt's timer with the body.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

// drain lets the connection be used again.
func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
}
