package page

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/library/images"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// rig is a server as it is put together in server/serve, with casts that send nothing.
type rig struct {
	t    *testing.T
	e    *engine.Engine
	book *access.Book
	db   *store.Memory // of the engine
	page *Page
	srv  *httptest.Server
	lib  *library.Local
	jobs *library.Jobs
	// rounds are the server's looks at itself, and finds is what they find.
	rounds *doctor.Rounds
	finds  func() *doctor.Report
	// tokens are by role.
	tokens map[string]string
}

// options are what a test has other than usual.
type options struct {
	images  engine.Images // nil: every name is an image of 1000 bytes
	approve string
	room    func() (int64, error) // free bytes for files that are sent; nil: as it is
}

func newRig(t testing.TB, o options) *rig {
	r := &rig{tokens: map[string]string{}, finds: sick, db: store.NewMemory()}
	r.t, _ = t.(*testing.T)
	id, err := identity.Load(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := image.OpenStore(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	r.lib = library.NewLocal(st)
	ims := images.New(st)
	if o.images == nil {
		o.images = &enginetest.Images{}
	}
	r.e, err = engine.New(t.Context(), engine.Config{Store: r.db, Images: o.images,
		Casts: &enginetest.Casts{}, Addr: netip.MustParseAddr("127.0.0.1"), Power: &enginetest.Power{},
		Approve: o.approve, Server: "server", Version: "1",
		Sign: func(x *receipt.Receipt) (*receipt.Envelope, error) { return id.Sign(x) }})
	if err != nil {
		t.Fatal(err)
	}
	jobs := library.NewJobs(r.lib, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	go func() { done <- r.e.Run(ctx) }()
	go func() { done <- jobs.Run(ctx) }()
	<-jobs.Ready()
	<-r.e.Ready()
	if r.book, err = access.New(t.Context(), store.NewMemory(), id.Token); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{access.Viewer, access.Operator, access.Admin} {
		made, err := r.book.Create(t.Context(), doc.TokenSpec{V: 1, Name: "a-" + role, Role: role})
		if err != nil {
			t.Fatal(err)
		}
		r.tokens[role] = made.Secret
	}
	r.rounds = doctor.NewRounds(func(context.Context) *doctor.Report { return r.finds() },
		slog.New(slog.DiscardHandler))
	go func() { done <- r.rounds.Run(ctx) }()
	<-r.rounds.Ready()
	uploads := library.NewUploads(r.lib, jobs)
	if o.room != nil {
		uploads.WithRoom(o.room)
	}
	api := web.New(r.e, ims, nil, id.Token, slog.New(slog.DiscardHandler)).WithLibrary(r.lib, jobs).
		WithAccess(r.book).WithDoctor(r.rounds).WithUploads(uploads)
	r.jobs = jobs
	r.page = New(Config{API: api, Tokens: r.book,
		About: About{Name: "server", Version: "1", Server: "https://10.20.0.1:8443", Interface: "eth1",
			Store: "/var/lib/diskcast/images", Pin: id.Pin}})
	r.srv = httptest.NewTLSServer(r.page)
	t.Cleanup(func() {
		r.srv.Close()
		cancel()
		<-done
		<-done
		<-done
		ims.Close()
	})
	return r
}

// sick is what is found on a server that has something of everything.
func sick() *doctor.Report {
	return &doctor.Report{V: 1, Interface: "eth1", Address: "10.20.0.1", Looks: []doc.DoctorLook{
		{Check: "boot directory", Found: []doc.DoctorFinding{{ID: doctor.BootKernel, Grave: doc.GraveMind,
			What:  "nodes are given Linux 6.1.0-1, and 6.12.0-1 is installed on this server",
			Cause: "nodes lack what the newer kernel mends, and the drivers of newer machines",
			Mend:  "diskcast up --kernel linux-image-6.12.0-1-amd64"}}},
		{Check: "dhcp", Found: []doc.DoctorFinding{{ID: doctor.DHCPSecond, Grave: doc.GraveStops,
			What:  "beside this server, another DHCP server gives addresses on the LAN: 10.20.0.9",
			Cause: "two servers give one address to two machines, and machines boot from whichever is quicker",
			Mend:  "stop the other one; or `diskcast serve --dhcp proxy` (dhcp = \"proxy\" in the settings file)"}}},
		{Check: "firewall", Not: []string{"the rules of the firewall are read by programs of the system, as root: " +
			"`sudo diskcast doctor` on the server does that"}},
		{Check: "packets", Well: []string{"the MTU of eth1 is 1500; a cast's packets have 1500 bytes"}}}}
}

// mac is the address of a test's nth machine.
func mac(n int) string { return fmt.Sprintf("52:54:00:00:%02x:%02x", n>>8&255, n&255) }

// hello has a machine come.
func (r *rig) hello(t testing.TB, n int, inv session.Inventory) *session.HelloReply {
	t.Helper()
	inv.NICs = append(inv.NICs, session.NIC{Name: "eth0", MAC: mac(n), Up: true, Mbps: 1000, Boot: true})
	reply, err := r.e.Hello(t.Context(), &session.Hello{V: session.Version, Boot: "b", Agent: "1", Inventory: inv},
		netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// store makes an image of 16 MiB in the store.
func (r *rig) store(t testing.TB, name string, seed uint64) {
	t.Helper()
	b := make([]byte, 16<<20)
	imagetest.Random(b[:8<<20], 1)
	imagetest.Random(b[4<<20:6<<20], seed)
	if _, err := capture.Capture(t.Context(), strings.NewReader(string(b)), int64(len(b)), 512,
		capture.Options{Store: r.lib.Store(), Name: name}); err != nil {
		t.Fatal(err)
	}
}

// visitor is somebody with a browser.
type visitor struct {
	t    testing.TB
	r    *rig
	http *http.Client
}

func (r *rig) visitor(t testing.TB) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, r, &http.Client{Transport: r.srv.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// logged is somebody who is logged in with a role.
func (r *rig) logged(t testing.TB, role string) *visitor {
	t.Helper()
	b := r.visitor(t)
	if code, to := b.login(r.tokens[role]); code != http.StatusSeeOther || to != "/" {
		t.Fatalf("login as %s: %d, to %q", role, code, to)
	}
	return b
}

// do makes a request, and returns status, body and headers.
func (b *visitor) do(method, path string, form url.Values, header ...string) (int, string, http.Header) {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.r.srv.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// get returns a page that there must be.
func (b *visitor) get(path string) string {
	b.t.Helper()
	code, body, _ := b.do("GET", path, nil)
	if code != http.StatusOK {
		b.t.Fatalf("GET %s: %d\n%s", path, code, body)
	}
	return body
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the token that the forms of a page have.
func (b *visitor) csrf(path string) string {
	b.t.Helper()
	m := csrfField.FindStringSubmatch(b.get(path))
	if m == nil {
		b.t.Fatalf("%s has no form", path)
	}
	return m[1]
}

// login types a token, and returns the status and where that leads.
func (b *visitor) login(token string) (int, string) {
	b.t.Helper()
	code, _, h := b.do("POST", "/login", url.Values{"csrf": {b.csrf("/login")}, "token": {token}})
	return code, h.Get("Location")
}
