package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// TestDocs: each kind of finding is in the table of symptoms.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "ids.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		if v, ok := node.(*ast.BasicLit); ok && v.Kind == token.STRING {
			n++
			if id := strings.Trim(v.Value, `"`); !strings.Contains(string(text), "`"+id+"`") {
				t.Errorf("docs/operating.md does not name the finding `%s`", id)
			}
		}
		return true
	})
	if n < 25 {
		t.Errorf("%d kinds of findings were looked for", n)
	}
}

// fake is a machine whose clock the test sets.
type fake struct {
	Real
	now time.Time
	ok  bool
	err error
}

func (f fake) Now() time.Time              { return f.now }
func (f fake) Synchronised() (bool, error) { return f.ok, f.err }

func ids(l *Look) string {
	var out []string
	for _, f := range l.Found {
		out = append(out, string(f.ID))
		if f.What == "" || f.Cause == "" || f.Mend == "" {
			out = append(out, "(not whole)")
		}
	}
	return strings.Join(out, " ")
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		host fake
		want string
		not  int
	}{
		{"kept right", fake{now: now, ok: true}, "", 0},
		{"nobody keeps it", fake{now: now}, "clock-free", 0},
		{"a board without a battery", fake{now: time.Unix(0, 0), ok: true}, "clock-wrong", 0},
		{"nobody can tell", fake{now: now, err: errors.New("no")}, "", 1},
	} {
		var l Look
		lookClock(t.Context(), &Subject{Host: c.host}, &l)
		if ids(&l) != c.want || len(l.Not) != c.not || len(l.Well)+len(l.Not)+len(l.Found) != 1 {
			t.Errorf("%s: %+v, want %q", c.name, l, c.want)
		}
	}
}

func TestJudgeDHCP(t *testing.T) {
	a := doc.DHCPServer{Server: "10.0.0.2", MAC: "52:54:00:00:00:02", Gives: "addresses"}
	b := doc.DHCPServer{Server: "10.0.0.3", Gives: "addresses"}
	pxe := doc.DHCPServer{Server: "10.0.0.4", Gives: "boot files"}
	self := doc.DHCPServer{Server: "10.0.0.1", Gives: "addresses"}
	for _, c := range []struct {
		name  string
		mode  dhcp.Mode
		heard []doc.DHCPServer
		want  string
	}{
		{"proxy beside one", dhcp.Proxy, []doc.DHCPServer{a}, ""},
		{"proxy beside two", dhcp.Proxy, []doc.DHCPServer{a, b}, "dhcp-second"},
		{"proxy beside nobody", dhcp.Proxy, nil, "dhcp-none"},
		{"off beside nobody", dhcp.Off, nil, "dhcp-none"},
		{"full alone", dhcp.Full, []doc.DHCPServer{self}, ""},
		{"full beside one", dhcp.Full, []doc.DHCPServer{a}, "dhcp-second"},
		{"another PXE server", dhcp.Proxy, []doc.DHCPServer{a, pxe}, "dhcp-boot"},
	} {
		var l Look
		judgeDHCP(c.heard, &Subject{DHCP: c.mode, LAN: netip.MustParsePrefix("10.0.0.1/24"), Interface: "eth0"}, &l)
		if ids(&l) != c.want {
			t.Errorf("%s: %+v, want %q", c.name, l, c.want)
		}
	}
}

// tells is a server that says what it heard, or that it cannot.
type tells struct {
	Server
	v   *doc.DHCP
	err error
}

func (s tells) DHCP(context.Context) (*doc.DHCP, error) { return s.v, s.err }

// TestLate has the server itself heard others: those of late count, once, and what it could not be asked is said.
func TestLate(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	answered := []doc.DHCPServer{{Server: "10.0.0.2"}}
	said := &doc.DHCP{Others: []doc.DHCPServer{{Server: "10.0.0.2", Last: now}, {Server: "10.0.0.3", Last: now},
		{Server: "10.0.0.4", Last: now.Add(-dhcp.OtherFor)}}}
	for _, c := range []struct {
		name   string
		server Server
		want   string
		not    int
	}{
		{"away", nil, "10.0.0.2", 0},
		{"says it", tells{v: said}, "10.0.0.2 10.0.0.3", 0},
		{"cannot be asked", tells{err: errors.New("no answer")}, "10.0.0.2", 1},
	} {
		var l Look
		var got []string
		for _, o := range withLate(t.Context(), answered, &Subject{Server: c.server, Host: fake{now: now}}, &l) {
			got = append(got, o.Server)
		}
		if strings.Join(got, " ") != c.want || len(l.Not) != c.not {
			t.Errorf("%s: %q, %+v; want %q and %d not looked at", c.name, got, l, c.want, c.not)
		}
	}
}

func TestMachines(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	node := func(where, session, problem string) doc.Node {
		return doc.Node{ID: "n1", Where: where, Session: session, Problem: problem, LastSeen: now.Add(-time.Hour)}
	}
	for _, c := range []struct {
		name  string
		nodes []doc.Node
		want  string
	}{
		{"none", nil, ""},
		{"in the agent", []doc.Node{node(doc.Ready, "", "")}, ""},
		{"silent at work", []doc.Node{node(doc.Silent, "s1", "")}, "machine-silent"},
		{"silent without work", []doc.Node{node(doc.Silent, "", "")}, ""},
		{"stuck", []doc.Node{node(doc.Booting, "", "no driver")}, "machine-stuck"},
	} {
		var l Look
		judgeMachines(c.nodes, now, &l)
		if ids(&l) != c.want {
			t.Errorf("%s: %+v, want %q", c.name, l, c.want)
		}
	}
}

func TestKeys(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"sound", func(string) error { return nil }, ""},
		{"a key for all to read", func(dir string) error {
			return os.Chmod(filepath.Join(dir, identity.KeyFile), 0o644)
		}, "key-open"},
		{"a folder for all to read", func(dir string) error { return os.Chmod(dir, 0o755) }, "key-open"},
		{"no token", func(dir string) error { return os.Remove(filepath.Join(dir, identity.TokenFile)) },
			"key-damaged"},
		{"half a key", func(dir string) error { return os.Truncate(filepath.Join(dir, identity.KeyFile), 100) },
			"key-damaged"},
		{"an old certificate", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identity.KeyFile), certificateUntil(t, now.Add(time.Hour)), 0o600)
		}, "key-expired"},
	} {
		dir := filepath.Join(t.TempDir(), "state")
		if _, err := identity.Load(dir); err != nil {
			t.Fatal(err)
		}
		if err := c.make(dir); err != nil {
			t.Fatal(err)
		}
		var l Look
		lookKeys(t.Context(), &Subject{State: dir, Host: Real{}}, &l)
		if ids(&l) != c.want || len(l.Not) > 0 {
			t.Errorf("%s: %+v, want %q", c.name, l, c.want)
		}
	}
}

func certificateUntil(t *testing.T, end time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: priv}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		older bool
	}{
		{"6.1.0-9-amd64", "6.1.0-10-amd64", true},
		{"6.1.0-10-amd64", "6.1.0-9-amd64", false},
		{"6.1.0-9-amd64", "6.1.0-9-amd64", false},
		{"", "6.1.0", true},
		{"6.12.38+deb13-amd64", "6.1.0-40-amd64", false},
		{"5.99999999999999999999", "6", true},
	} {
		if got := older(c.a, c.b); got != c.older {
			t.Errorf("%q is older than %q: %v", c.a, c.b, got)
		}
	}
	if n, ok := hardLimit("Limit  Soft  Hard\nMax open files            1024                 524288               " +
		"files\n"); !ok ||
		n != 524288 {
		t.Error(n, ok)
	}
	if _, ok := hardLimit("nothing"); ok {
		t.Error("a limit out of nothing")
	}
	if !may("Name:\tx\nCapEff:\t0000000000001000\n", 12) || may("CapEff:\t0000000000000400\n", 12) || may("", 12) {
		t.Error("capabilities are misread")
	}
}

// TestQuerier listens on a LAN without a querier, and on one whose bridge asks.
func TestQuerier(t *testing.T) {
	t.Parallel()
	l := netlabtest.New(t, 2)
	look := func() *Look {
		out := &Look{}
		err := l.Do(l.Node(0), func() error {
			lookQuerier(t.Context(), &Subject{Interface: "eth0", Patience: 3 * time.Second, Asks: time.Second,
				Groups: netip.MustParsePrefix("239.192.0.0/16")}, out)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := look(); ids(got) != "querier-none" || len(got.Not) > 0 {
		t.Errorf("nobody asks: %+v", got)
	}
	if err := l.On(l.Bridge(), "ip", "link", "set", "br0", "type", "bridge", "mcast_snooping", "1", "mcast_querier",
		"1",
		"mcast_query_interval", "100", "mcast_startup_query_interval", "100"); err != nil {
		t.Fatal(err)
	}
	if got := look(); ids(got) != "" || len(got.Well) != 1 {
		t.Errorf("the bridge asks: %+v", got)
	}
	// One who gives a querier less time than it needs is not told that there is none.
	var hasty Look
	if err := l.Do(l.Node(0), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.On(l.Bridge(), "ip", "link", "set", "br0", "type", "bridge", "mcast_querier", "0"); err != nil {
			return err
		}
		lookQuerier(ctx, &Subject{Interface: "eth0", Patience: 100 * time.Millisecond,
			Groups: netip.MustParsePrefix("239.192.0.0/16")}, &hasty)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(hasty.Found) > 0 || len(hasty.Not) != 1 {
		t.Errorf("a tenth of a second: %+v", hasty)
	}
}

func FuzzTFTP(f *testing.F) {
	f.Add([]byte("\x00\x06blksize\x001024\x00"))
	f.Add([]byte("\x00\x03\x00\x01data"))
	f.Add([]byte("\x00\x05\x00\x01File not found\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseTFTP(b)
		if err == nil && (p.size < 0 || p.size > tftpBlock || len(p.data) > len(b)) {
			t.Errorf("%+v", p)
		}
	})
}
