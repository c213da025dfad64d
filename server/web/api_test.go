package web

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crypto/tls"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/library/images"
	"github.com/diskcast/diskcast/server/store"
)

// blobs has a blob for every config and index digest, and an object for every manifest, of image debian.
type blobs struct{}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

func open(s string) (images.Reader, int64, error) {
	return reader{bytes.NewReader([]byte(s))}, int64(len(s)), nil
}

func (blobs) OpenBlob(d string) (images.Reader, int64, error) {
	if d == enginetest.Digest("debian", "config") {
		return open("the config blob")
	}
	return nil, 0, fmt.Errorf("blob %s: %w", d, image.ErrNotFound)
}

func (blobs) OpenObject(d string) (images.Reader, int64, error) {
	if d == enginetest.Digest("debian", "manifest") {
		return open("the object of the image")
	}
	return nil, 0, fmt.Errorf("image %s: %w", d, image.ErrNotFound)
}

type rig struct {
	t   *testing.T
	e   *engine.Engine
	id  *identity.Identity
	srv *httptest.Server
	// record is of what is changed.
	record *audit.Log
	db     *store.Memory
	dir    string
	lib    *library.Local
	// book has the named tokens.
	book  *access.Book
	asked int
	// begun is told of each job that begins, and goes on when it is answered; nil: jobs just run.
	begun chan chan struct{}
}

func newRig(t *testing.T) *rig { return newRigWith(t, &enginetest.Casts{}) }

func newRigWith(t *testing.T, casts engine.Casts) *rig {
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "state")}
	var err error
	if r.id, err = identity.Load(r.dir); err != nil {
		t.Fatal(err)
	}
	r.e, err = engine.New(t.Context(), engine.Config{
		Store: store.NewMemory(), Images: &enginetest.Images{}, Casts: casts, Addr: netip.MustParseAddr("127.0.0.1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	st, err := image.OpenStore(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	r.lib = library.NewLocal(st)
	jobs := library.NewJobs(&held{Library: r.lib, rig: r}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- r.e.Run(ctx) }()
	go func() { done <- jobs.Run(ctx) }()
	<-jobs.Ready()
	if r.book, err = access.New(t.Context(), store.NewMemory(), r.id.Token); err != nil {
		t.Fatal(err)
	}
	r.db = store.NewMemory()
	if r.record, err = audit.New(t.Context(), r.db, r.id.Cert.PrivateKey.(crypto.Signer)); err != nil {
		t.Fatal(err)
	}
	r.srv = httptest.NewUnstartedServer(New(r.e, blobs{}, nil, r.id.Token,
		slog.New(slog.DiscardHandler)).WithLibrary(r.lib, jobs).WithAccess(r.book).WithAudit(r.record))
	r.srv.TLS = &tls.Config{Certificates: []tls.Certificate{r.id.Cert}}
	r.srv.StartTLS()
	t.Cleanup(func() {
		r.srv.Close()
		cancel()
		<-done
		<-done
	})
	return r
}

func (r *rig) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: identity.PinnedTLS(r.id.Pin)}}
}

// call returns status and body.
func (r *rig) call(method, path, token, body string, header ...string) (int, string, http.Header) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.srv.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := problem(resp.StatusCode, resp.Header, b); err != nil {
		r.t.Errorf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// choose has a node name its disk as the session's, as agents do before their plan.
func (r *rig) choose(node, token, id string) {
	r.t.Helper()
	if code, body, _ := r.call("POST", "/v1/node/"+node+"/disk", token,
		fmt.Sprintf(`{"v":1,"session":%q,"disk":{"path":"/dev/vda","size":1073741824}}`, id)); code != 200 {
		r.t.Fatalf("disk: %d %s", code, body)
	}
}

func (r *rig) hello(mac, boot string) session.HelloReply {
	r.t.Helper()
	code, body, _ := r.call("POST", "/v1/node/hello", "",
		fmt.Sprintf(`{"v":1,"boot":%q,"inventory":{"nics":[{"mac":%q,"boot":true}],`+
			`"disks":[{"path":"/dev/vda","size":1073741824}]},"later":"field"}`, boot, mac))
	var reply session.HelloReply
	if code != 200 || session.Decode(strings.NewReader(body), &reply) != nil {
		r.t.Fatalf("hello: %d %s", code, body)
	}
	return reply
}

// cutKeys makes casts without the second key of their senders.
type cutKeys struct{ *enginetest.Casts }

func (c cutKeys) Sender(secret []byte) ([]byte, error) {
	keys, err := c.Casts.Sender(secret)
	return keys[:32], err
}

// TestDescriptorIsValidated has the server write a descriptor that no node follows: it says so, and does not send it.
func TestDescriptorIsValidated(t *testing.T) {
	r := newRigWith(t, cutKeys{&enginetest.Casts{}})
	n := r.hello("52:54:00:00:00:01", "b1")
	code, body, _ := r.call("POST", "/v1/sessions", r.id.Token,
		`{"v":1,"image":"debian","all":true,"target":{"path":"/dev/sda"}}`)
	if code != http.StatusCreated {
		t.Fatalf("session: %d %s", code, body)
	}
	code, body, _ = r.call("GET", "/v1/node/"+n.Node+"/descriptor?after=0&wait=10s", n.Token, "")
	if code != http.StatusInternalServerError || !strings.Contains(body, "32 bytes, not 64") {
		t.Errorf("the descriptor: %d %s", code, body)
	}
}

func TestNodeAPI(t *testing.T) {
	r := newRig(t)
	n := r.hello("52:54:00:00:00:01", "b1")
	node := "/v1/node/" + n.Node
	if code, body, _ := r.call("GET", node+"/descriptor?after=0&wait=1ms", n.Token, ""); code != 204 || body != "" {
		t.Errorf("no descriptor yet: %d %s", code, body)
	}
	code, body, h := r.call("POST", "/v1/sessions", r.id.Token, `{"v":1,"image":"debian","all":true,"target":{}}`)
	if code != 201 || h.Get("Location") != "/v1/sessions/s1" {
		t.Fatalf("create: %d %s", code, body)
	}
	code, body, _ = r.call("GET", node+"/descriptor?after=0&wait=30s", n.Token, "")
	var d session.Descriptor
	if code != 200 || session.Decode(strings.NewReader(body), &d) != nil || d.Session != "s1" {
		t.Fatalf("descriptor: %d %s", code, body)
	}
	if strings.Contains(mustGet(r, "/v1/sessions/s1"), string(d.Cast.Key)) ||
		strings.Contains(mustGet(r, "/v1/sessions/s1"), `"key"`) {
		t.Error("the operator's view has the cast's key")
	}
	if code, body, _ = r.call("POST", node+"/events", n.Token,
		`{"v":1,"boot":"b1","events":[{"seq":1,"session":"s1","step":"plan","level":"info"}]}`); code != 204 {
		t.Errorf("events: %d %s", code, body)
	}

	// Blobs, with ranges and tags.
	for _, c := range []struct {
		name, path, rng string
		code            int
		body            string
	}{
		{"blob", "/v1/blobs/" + d.Image.Config.Digest, "", 200, "the config blob"},
		{"blob range", "/v1/blobs/" + d.Image.Config.Digest, "bytes=4-9", 206, "config"},
		{"object", "/v1/objects/" + d.Image.Manifest, "", 200, "the object of the image"},
		{"object range", "/v1/objects/" + d.Image.Manifest, "bytes=-5", 206, "image"},
		{"range beyond the end", "/v1/objects/" + d.Image.Manifest, "bytes=1000-", 416,
			"invalid range: failed to overlap\n"},
	} {
		code, body, h := r.call("GET", c.path, n.Token, "", "Range", c.rng)
		if code != c.code || body != c.body {
			t.Errorf("%s: %d %q", c.name, code, body)
		}
		if tag := h.Get("ETag"); code < 400 && (len(tag) < 60 || tag[0] != '"') {
			t.Errorf("%s: ETag %q", c.name, tag)
		}
	}
	if code, _, _ = r.call("GET", "/v1/blobs/"+d.Image.Config.Digest, n.Token, "", "If-None-Match", `"`+
		d.Image.Config.Digest+`"`); code != 304 {
		t.Errorf("If-None-Match: %d", code)
	}
	if code, body, _ = r.call("GET", "/v1/blobs/"+d.Image.Index.Digest, n.Token, ""); code != 404 {
		t.Errorf("blob that the store lost: %d %s", code, body)
	}
}

func mustGet(r *rig, path string) string {
	r.t.Helper()
	code, body, _ := r.call("GET", path, r.id.Token, "")
	if code != 200 {
		r.t.Fatalf("%s: %d %s", path, code, body)
	}
	return body
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	one, two := r.hello("52:54:00:00:00:01", "b1"), r.hello("52:54:00:00:00:02", "b2")
	other := "sha256:" + strings.Repeat("f", 64)
	for _, c := range []struct {
		name, method, path, token, body string
		code                            int
		words                           string
	}{
		{"no such endpoint", "GET", "/v2/x", "", "", 404, "no such endpoint"},
		{"wrong method", "DELETE", "/v1/sessions", r.id.Token, "", 405, "it takes GET, HEAD, POST"},
		{"no such method", "BREW", "/v1/sessions", "", "", 405, "/v1/sessions has no BREW"},
		{"hello that is no JSON", "POST", "/v1/node/hello", "", "x", 400, "not valid JSON"},
		{"hello of another version", "POST", "/v1/node/hello", "", `{"v":2,"boot":"b","inventory":{"nics":[{}]}}`, 400,
			"v=2"},
		{"hello without MAC", "POST", "/v1/node/hello", "", `{"v":1,"boot":"b","inventory":{"nics":[{}]}}`, 422, "MAC"},
		{"huge hello", "POST", "/v1/node/hello", "", `{"v":1,"boot":"` + strings.Repeat("b", 2<<20) + `"}`, 413,
			"131072"},
		{"descriptor without token", "GET", "/v1/node/" + one.Node + "/descriptor", "", "", 401, "hello"},
		{"another node's descriptor", "GET", "/v1/node/" + one.Node + "/descriptor", two.Token, "", 401, "hello"},
		{"descriptor with the operator's token", "GET", "/v1/node/" + one.Node + "/descriptor", r.id.Token, "", 401,
			"hello"},
		{"nonsense serial", "GET", "/v1/node/" + one.Node + "/descriptor?after=-1", one.Token, "", 400, "serial"},
		{"nonsense wait", "GET", "/v1/node/" + one.Node + "/descriptor?wait=x", one.Token, "", 400, "duration"},
		{"another node's events", "POST", "/v1/node/" + one.Node + "/events", two.Token,
			`{"v":1,"boot":"b2","events":[]}`, 401, "hello"},
		{"events of another boot", "POST", "/v1/node/" + one.Node + "/events", one.Token,
			`{"v":1,"boot":"b2","events":[]}`, 401, "hello"},
		{"blob without token", "GET", "/v1/blobs/" + other, "", "", 401, ""},
		{"blob of no session", "GET", "/v1/blobs/" + enginetest.Digest("debian", "config"), one.Token, "", 403,
			"descriptor"},
		{"nonsense digest", "GET", "/v1/blobs/sha256:..%2f..%2fetc", r.id.Token, "", 400, "digest"},
		{"unknown blob", "GET", "/v1/blobs/" + other, r.id.Token, "", 404, "not in the store"},
		{"sessions without token", "GET", "/v1/sessions", "", "", 401, "diskcast token"},
		{"sessions with a node's token", "GET", "/v1/sessions", one.Token, "", 401, "diskcast token"},
		{"sessions with a wrong token", "GET", "/v1/sessions", strings.ToLower(r.id.Token), "", 401, "diskcast token"},
		{"unknown session", "GET", "/v1/sessions/s9", r.id.Token, "", 404, "s9"},
		{"unknown field", "POST", "/v1/sessions", r.id.Token, `{"v":1,"image":"debian","all":true,"verfy":true}`, 400,
			"verfy"},
		{"unknown image", "POST", "/v1/sessions", r.id.Token, `{"v":1,"image":"nothing","all":true,"target":{}}`, 422,
			"nothing"},
		{"a start time in the past", "POST", "/v1/sessions", r.id.Token,
			`{"v":1,"image":"debian","all":true,"target":{},"at":"2020-01-01T09:00:00Z"}`, 422,
			"2020-01-01T09:00:00Z is in the past: it is " + time.Now().UTC().Format("2006-")},
		{"a plan of a start time in the past", "POST", "/v1/sessions/plan", r.id.Token,
			`{"v":1,"image":"debian","all":true,"target":{},"at":"2020-01-01T09:00:00Z"}`, 422, "in the past"},
		{"a change to a start time in the past", "PATCH", "/v1/sessions/s1", r.id.Token,
			`{"v":1,"at":"2020-01-01T09:00:00Z"}`, 422, "in the past"},
		{"unknown node", "GET", "/v1/nodes/52:54:00:00:00:09", r.id.Token, "", 404, ""},
		{"nonsense node", "GET", "/v1/nodes/x", r.id.Token, "", 422, "MAC"},
		{"nonsense limit", "GET", "/v1/nodes/" + one.Node + "/log?limit=x", r.id.Token, "", 400, "limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body, _ := r.call(c.method, c.path, c.token, c.body)
			var e doc.Error
			if code != c.code || json.Unmarshal([]byte(body), &e) != nil || e.Error == "" ||
				!strings.Contains(e.Error, c.words) {
				t.Errorf("%d %.200s", code, body)
			}
		})
	}
}

// TestStartTimeOfNow: clocks may differ a little, and a start time may be taken away.
func TestStartTimeOfNow(t *testing.T) {
	r := newRig(t)
	at := time.Now().Add(-30 * time.Second).UTC().Format(time.RFC3339)
	if code, body, _ := r.call("POST", "/v1/sessions", r.id.Token,
		`{"v":1,"image":"debian","all":true,"target":{},"at":"`+at+`"}`); code != 201 {
		t.Errorf("half a minute ago: %d %s", code, body)
	}
	if code, body, _ := r.call("PATCH", "/v1/sessions/s1", r.id.Token, `{"v":1,"at":"0001-01-01T00:00:00Z"}`); code !=
		200 {
		t.Errorf("the start time taken away: %d %s", code, body)
	}
}

func TestPinIsTheCheck(t *testing.T) {
	r := newRig(t)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: identity.PinnedTLS("sha256:" +
		strings.Repeat("0", 64))}}
	if resp, err := c.Get(r.srv.URL); err == nil || !strings.Contains(err.Error(), r.id.Pin) {
		t.Errorf("another server's pin: %v %v", resp, err)
	}
}

func TestIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := client.ReadCredentials(dir); err == nil || !strings.Contains(err.Error(), "--state") {
		t.Errorf("credentials of nothing: %v", err)
	}
	one, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	two, err := identity.Load(dir)
	if err != nil || one.Pin != two.Pin || one.Token != two.Token {
		t.Errorf("a second start has another identity: %v", err)
	}
	cred, err := client.ReadCredentials(dir)
	if err != nil || cred.Pin != one.Pin || cred.Token != one.Token {
		t.Errorf("credentials: %+v, %v", cred, err)
	}
	for _, name := range []string{identity.KeyFile, identity.TokenFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
	if err := os.WriteFile(filepath.Join(dir, identity.TokenFile), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Load(dir); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("an empty token: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, identity.KeyFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Load(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged key: %v", err)
	}
}

// TestClient walks the operator's client through all it can do.
func TestClient(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	c, err := client.New(r.srv.URL, client.Credentials{Token: r.id.Token, Pin: r.id.Pin})
	if err != nil {
		t.Fatal(err)
	}
	n := r.hello("52:54:00:00:00:01", "b1")
	s, err := c.Create(ctx, doc.Spec{V: 1, Image: "debian", Count: 1})
	if err != nil || s.State != doc.Casting {
		t.Fatalf("%+v, %v", s, err)
	}
	var lines []doc.Line
	watched := make(chan error, 1)
	go func() {
		watched <- c.Watch(ctx, s.ID, func(l doc.Line) error { lines = append(lines, l); return nil }, nil)
	}()
	events := `{"v":1,"boot":"b1","events":[{"seq":4,"session":"s1","step":"plan","level":"info"},` +
		`{"seq":1,"session":"s1","step":"written","level":"info"},` +
		`{"seq":2,"step":"log","level":"warn","message":"hm"},{"seq":3,"session":"s1","step":"boot","level":"info"}]}`
	r.choose(n.Node, n.Token, s.ID)
	if code, body, _ := r.call("POST", "/v1/node/"+n.Node+"/events", n.Token, events); code != 204 {
		t.Fatalf("events: %d %s", code, body)
	}
	if err := <-watched; err != nil {
		t.Fatal(err)
	}
	if last := lines[len(lines)-1]; last.Session == nil || last.Session.State != doc.Done {
		t.Errorf("last line: %+v", last)
	}
	if list, err := c.Sessions(ctx); err != nil || len(list) != 1 || list[0].Parts[0].State != doc.Done {
		t.Errorf("sessions: %+v, %v", list, err)
	}
	if nodes, err := c.Nodes(ctx); err != nil || len(nodes) != 1 || nodes[0].Last != s.ID ||
		nodes[0].Where != doc.Left {
		t.Errorf("nodes: %+v, %v", nodes, err)
	}
	if log, err := c.Log(ctx, n.Node, 10, false); err != nil || len(log) != 1 || log[0].Event.Message != "hm" {
		t.Errorf("log: %+v, %v", log, err)
	}
	if err := c.Forget(ctx, n.Node, false); err != nil {
		t.Error(err)
	}
	if _, err := c.Node(ctx, n.Node); err == nil {
		t.Error("a forgotten node is there")
	}
	if _, err := c.Cancel(ctx, "s7"); err == nil || !strings.Contains(err.Error(), "s7") {
		t.Errorf("cancel: %v", err)
	}
	if err := c.Watch(ctx, "s7", func(doc.Line) error { return nil }, nil); err == nil {
		t.Error("watch of nothing")
	}
	if _, err := client.New("http://x", client.Credentials{}); err == nil {
		t.Error("plain HTTP was taken")
	}
}
