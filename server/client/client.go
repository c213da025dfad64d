// Package client is the operator's client of a server: a call for each request of docs/operator-api.md. It is for other
// programs as well as for the commands of diskcast: New with a pin and a token (`diskcast token create`), and then a
// method a request; Do is for what has none. An answer that is no success is a *StatusError, whose Problem tells
// programs what it was. Several may use a Client at once.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
)

// Credentials are what an operator proves itself with and knows the server by.
type Credentials struct{ Token, Pin string }

// ReadCredentials reads them from a server's state directory; nothing is made.
func ReadCredentials(dir string) (*Credentials, error) {
	hint := func(err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("no server state in %s (%w): name the directory with --state, or set DISKCAST_TOKEN "+
				"and DISKCAST_PIN", dir, err)
		case errors.Is(err, fs.ErrPermission):
			return fmt.Errorf("server state is not readable (%w): use sudo, or set DISKCAST_TOKEN and DISKCAST_PIN",
				err)
		}
		return err
	}
	token, err := os.ReadFile(filepath.Join(dir, identity.TokenFile))
	if err != nil {
		return nil, hint(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, identity.KeyFile))
	if err != nil {
		return nil, hint(err)
	}
	for len(b) > 0 {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate in %s: %w", filepath.Join(dir, identity.KeyFile), err)
			}
			return &Credentials{Token: strings.TrimSpace(string(token)), Pin: identity.PinOf(cert)}, nil
		}
	}
	return nil, fmt.Errorf("%s holds no certificate", filepath.Join(dir, identity.KeyFile))
}

// PinAt asks the server at base for its certificate and returns the pin of its key. It proves nothing: somebody who
// compares it with what the server itself prints does.
func PinAt(ctx context.Context, base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}}
	conn, err := d.DialContext(wait, "tcp", u.Host)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	certs := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return "", errors.New("the server sent no certificate")
	}
	return identity.PinOf(certs[0]), nil
}

// Client speaks the operator API.
type Client struct {
	// Pause is between tries when the connection of what is followed breaks.
	Pause time.Duration
	// Exact leaves strings as the server sent them: for who prints them as data, and keeps them from a terminal itself.
	Exact bool

	base  *url.URL
	token string
	pin   string
	http  *http.Client
}

// New returns a client of the server at base, such as https://10.0.0.1:8443.
func New(base string, c Credentials) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("server %q is not of the form https://10.0.0.1:8443", base)
	}
	transport := &http.Transport{TLSClientConfig: identity.PinnedTLS(c.Pin), TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: time.Minute, MaxIdleConnsPerHost: 16, ExpectContinueTimeout: 5 * time.Second}
	return &Client{Pause: time.Second, base: u, token: c.Token, pin: c.Pin,
		http: &http.Client{Transport: transport}}, nil
}

// Pin is that of the server's key, which each connection is held against.
func (c *Client) Pin() string { return c.pin }

// StatusError is an answer of the server that is not a success.
type StatusError struct {
	Code    int
	Message string
	Problem string // one of doc.Problems; empty from an older server
	Kind    string // doc.Error's
	Entry   string // doc.Error's
}

func (e *StatusError) Error() string { return e.Message }

// final reports whether asking again changes nothing: the server refuses or has no room, or is not the one whose key
// was confirmed.
func final(err error) bool {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.Code < 500 || status.Code == http.StatusInsufficientStorage
	}
	_, other := errors.AsType[*identity.PinError](err)
	return other
}

type keyOf struct{}

// WithKey has what is asked for in the context be made once, however often it is asked for with the key: a word that
// the caller makes for each thing that it wants. Who heard no answer asks again with it.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

// Do makes a request that no other method makes; in, if not nil, is its JSON body. An answer that is no success is a
// *StatusError; else the caller closes the answer's body.
func (c *Client) Do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	if in == nil {
		return c.send(ctx, method, path, nil)
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, method, path, b)
}

// largeBody is above how many bytes the server is asked first whether it takes a body: what it says of one that is too
// large would be lost when it closes the connection on who still sends.
const largeBody = 64 << 10

// send sends a request with a body, which may be nil, and headers, name after name and value. An answer that is no
// success is a *StatusError.
func (c *Client) send(ctx context.Context, method, path string, in []byte, header ...string) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		body = bytes.NewReader(in)
	}
	ref, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.ResolveReference(ref).String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if len(in) > largeBody {
		req.Header.Set("Expect", "100-continue")
	}
	if key, ok := ctx.Value(keyOf{}).(string); ok {
		req.Header.Set("Idempotency-Key", key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unanswered(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e doc.Error
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&e); err != nil || e.Error == "" {
		e.Error = "server says " + resp.Status
	}
	return nil, &StatusError{Code: resp.StatusCode, Message: plain.Line(e.Error, 0), Problem: plain.Line(e.Code, 0),
		Kind:  plain.Line(e.Kind, 0),
		Entry: plain.Line(e.Entry, 0)}
}

// unanswered says why a request got no answer.
func (c *Client) unanswered(err error) error {
	var pin *identity.PinError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &pin):
		return fmt.Errorf("the key of %s is another one than the one that was confirmed, and nothing was sent: %w; it "+
			"may be another server, or somebody sits between: compare with what `diskcast token` prints there; "+
			"`diskcast login %s` asks anew which key is taken", c.base, pin, c.base)
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("what answers at %s speaks no TLS, and so is no diskcast server (--server names another): %w",
			c.base, err)
	}
	return fmt.Errorf("server does not answer: %w (is `diskcast serve` running there? --server names another)", err)
}

// maxAnswer bounds an answer: 20,000 nodes with their inventories.
const maxAnswer = 2 << 30

func call[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	if strings.HasSuffix(path, "/") || strings.Contains(path, "//") {
		return out, errors.New("a name is empty: say which one is meant")
	}
	resp, err := c.Do(ctx, method, path, in)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return out, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&out); err != nil {
		return out, fmt.Errorf("%s %s: answer is not understood: %w", method, path, err)
	}
	if !c.Exact {
		plain.Strings(&out, 0)
	}
	return out, nil
}

// Create makes a session.
func (c *Client) Create(ctx context.Context, spec doc.Spec) (*doc.Session, error) {
	return call[*doc.Session](ctx, c, "POST", "/v1/sessions", spec)
}

// Sessions lists all sessions.
func (c *Client) Sessions(ctx context.Context) ([]doc.Session, error) {
	return call[[]doc.Session](ctx, c, "GET", "/v1/sessions", nil)
}

// Session returns one session.
func (c *Client) Session(ctx context.Context, id string) (*doc.Session, error) {
	return call[*doc.Session](ctx, c, "GET", "/v1/sessions/"+url.PathEscape(id), nil)
}

// Cancel ends a session.
func (c *Client) Cancel(ctx context.Context, id string) (*doc.Session, error) {
	return call[*doc.Session](ctx, c, "POST", "/v1/sessions/"+url.PathEscape(id)+"/cancel", nil)
}

// Go has a session start with the nodes that are there.
func (c *Client) Go(ctx context.Context, id string) (*doc.Session, error) {
	return call[*doc.Session](ctx, c, "POST", "/v1/sessions/"+url.PathEscape(id)+"/go", nil)
}

// Retry makes a session of what is not done of one that is over.
func (c *Client) Retry(ctx context.Context, id string) (*doc.Session, error) {
	return call[*doc.Session](ctx, c, "POST", "/v1/sessions/"+url.PathEscape(id)+"/retry", nil)
}

// EditSession changes what may still be changed of a session.
func (c *Client) EditSession(ctx context.Context, id string, change doc.SessionChange) (*doc.Session, error) {
	return call[*doc.Session](ctx, c, "PATCH", "/v1/sessions/"+url.PathEscape(id), change)
}

// RemoveSession forgets a session that is over.
func (c *Client) RemoveSession(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/sessions/"+url.PathEscape(id), nil)
	return err
}

// Nodes lists all nodes.
func (c *Client) Nodes(ctx context.Context) ([]doc.Node, error) {
	return call[[]doc.Node](ctx, c, "GET", "/v1/nodes", nil)
}

// Node returns one node.
func (c *Client) Node(ctx context.Context, name string) (*doc.Node, error) {
	return call[*doc.Node](ctx, c, "GET", "/v1/nodes/"+url.PathEscape(name), nil)
}

// Look has a node look at its network, and returns what it says.
func (c *Client) Look(ctx context.Context, name string) (*doc.NodeLook, error) {
	return call[*doc.NodeLook](ctx, c, "POST", "/v1/nodes/"+url.PathEscape(name)+"/look", nil)
}

// Forget removes a node; by force also the mark that its disk is half-written.
func (c *Client) Forget(ctx context.Context, name string, force bool) error {
	path := "/v1/nodes/" + url.PathEscape(name)
	if force {
		path += "?force=true"
	}
	_, err := call[struct{}](ctx, c, "DELETE", path, nil)
	return err
}

// Log returns the last events of a node.
func (c *Client) Log(ctx context.Context, name string, limit int, all bool) ([]doc.Event, error) {
	return call[[]doc.Event](ctx, c, "GET",
		fmt.Sprintf("/v1/nodes/%s/log?limit=%d&all=%v", url.PathEscape(name), limit, all), nil)
}

// Machines lists all machines.
func (c *Client) Machines(ctx context.Context) ([]doc.Machine, error) {
	return call[[]doc.Machine](ctx, c, "GET", "/v1/machines", nil)
}

// Machine returns one machine, by id, name or a MAC address.
func (c *Client) Machine(ctx context.Context, word string) (*doc.Machine, error) {
	return call[*doc.Machine](ctx, c, "GET", "/v1/machines/"+url.PathEscape(word), nil)
}

// EditMachine enters what the operator says of a machine.
func (c *Client) EditMachine(ctx context.Context, word string, change doc.MachineChange) (*doc.Machine, error) {
	return call[*doc.Machine](ctx, c, "PATCH", "/v1/machines/"+url.PathEscape(word), change)
}

// MergeMachines makes one machine of two.
func (c *Client) MergeMachines(ctx context.Context, into, from string) (*doc.Machine, error) {
	return call[*doc.Machine](ctx, c, "POST", "/v1/machines/"+url.PathEscape(into)+"/merge",
		doc.MachineMerge{V: session.Version, From: from})
}

// SplitMachine makes a sighting of a machine one of its own.
func (c *Client) SplitMachine(ctx context.Context, word, node string) (*doc.Machine, error) {
	return call[*doc.Machine](ctx, c, "POST", "/v1/machines/"+url.PathEscape(word)+"/split",
		doc.MachineSplit{V: session.Version, Node: node})
}

// TrustMachine makes a machine's NICs its alone, and ends what was odd about its nodes.
func (c *Client) TrustMachine(ctx context.Context, word string) (*doc.Machine, error) {
	return call[*doc.Machine](ctx, c, "POST", "/v1/machines/"+url.PathEscape(word)+"/trust", nil)
}

// RemoveMachine forgets a machine and what was entered of it.
func (c *Client) RemoveMachine(ctx context.Context, word string) error {
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/machines/"+url.PathEscape(word), nil)
	return err
}

// Select returns the machines that a selector fits.
func (c *Client) Select(ctx context.Context, on string) ([]doc.Machine, error) {
	return call[[]doc.Machine](ctx, c, "GET", "/v1/machines?select="+url.QueryEscape(on), nil)
}

// ChangeMachines changes all machines that a selector fits.
func (c *Client) ChangeMachines(ctx context.Context, change doc.MachinesChange) ([]doc.Machine, error) {
	return call[[]doc.Machine](ctx, c, "POST", "/v1/machines", change)
}

// Lab returns groups, profiles and rules.
func (c *Client) Lab(ctx context.Context) (*doc.Lab, error) {
	return call[*doc.Lab](ctx, c, "GET", "/v1/lab", nil)
}

// ChangeLab does all of a change, or nothing of it.
func (c *Client) ChangeLab(ctx context.Context, change doc.LabChange) (*doc.LabResult, error) {
	return call[*doc.LabResult](ctx, c, "POST", "/v1/lab", change)
}

// CreateOf makes a session of a spec, or of the fields that are asked for: the rest is the profile's then.
func (c *Client) CreateOf(ctx context.Context, spec any) (*doc.Session, error) {
	return call[*doc.Session](ctx, c, "POST", "/v1/sessions", spec)
}

// Plan says what a session of the spec, or of the fields that are asked for, would do to each machine.
func (c *Client) Plan(ctx context.Context, spec any) (*doc.Plan, error) {
	return call[*doc.Plan](ctx, c, "POST", "/v1/sessions/plan", spec)
}

// Receipts returns the envelopes of a session's receipts, as they were signed; of all sessions when it is empty.
func (c *Client) Receipts(ctx context.Context, session string) ([]json.RawMessage, error) {
	path := "/v1/receipts"
	if session != "" {
		path += "?session=" + url.QueryEscape(session)
	}
	return call[[]json.RawMessage](ctx, c, "GET", path, nil)
}

// DHCP returns what the server does for the LAN's addresses.
func (c *Client) DHCP(ctx context.Context) (*doc.DHCP, error) {
	return call[*doc.DHCP](ctx, c, "GET", "/v1/dhcp", nil)
}

// FreeLease ends the lease of an IPv4 or MAC address.
func (c *Client) FreeLease(ctx context.Context, what string) error {
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/dhcp/leases/"+url.PathEscape(what), nil)
	return err
}
