package cmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// office is a server with one BIOS machine, and an operator at the command line.
type office struct {
	t          *testing.T
	e          *engine.Engine
	node       string
	seq        uint64
	state, url string
}

func newOffice(t *testing.T, with ...func(*office, *engine.Config)) *office {
	o := &office{t: t, state: t.TempDir()}
	id, err := identity.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	cfg := engine.Config{Store: store.NewMemory(), Images: &enginetest.Images{}, Casts: &enginetest.Casts{},
		Addr: netip.MustParseAddr("127.0.0.1"), Server: "lab", Sign: id.Sign}
	for _, f := range with {
		f(o, &cfg)
	}
	o.e, err = engine.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.e.Run(ctx) }()
	srv := httptest.NewUnstartedServer(web.New(o.e, nil, nil, id.Token, slog.New(slog.DiscardHandler)).
		WithPin(id.Pin))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	o.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		cancel()
		<-done
	})
	reply, err := o.e.Hello(t.Context(),
		&session.Hello{V: 1, Boot: "b",
			Inventory: session.Inventory{Firmware: session.BIOS,
				NICs: []session.NIC{{MAC: "52:54:00:00:00:01", Boot: true}}}}, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	o.node = reply.Node
	return o
}

// run runs one command and returns its exit code, and what it printed.
func (o *office) run(args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	var out, errs bytes.Buffer
	err := Run(o.t.Context(), append(args, "--server", o.url, "--state", o.state), strings.NewReader(""), &out, &errs)
	if err != nil {
		errs.WriteString(err.Error())
	}
	return ExitCode(err), out.String(), errs.String()
}

// choose has the node name its disk as the session's, as agents do before their plan.
func (o *office) choose(id string) {
	o.t.Helper()
	if _, err := o.e.ChooseDisk(o.t.Context(), o.node, &session.DiskChoice{V: 1, Session: id,
		Disk: session.DiskID{Path: "/dev/vda", Size: 1 << 30}}); err != nil {
		o.t.Fatal(err)
	}
}

// restored reports a restore of which the last two steps have the levels.
func (o *office) restored(id, entry, boot string) {
	o.t.Helper()
	if _, err := o.e.Hello(o.t.Context(), &session.Hello{V: 1, Boot: "b", Inventory: session.Inventory{
		Firmware: session.BIOS, NICs: []session.NIC{{MAC: "52:54:00:00:00:01", Boot: true}},
		Disks: []session.Disk{{Path: "/dev/vda", Size: 1 << 30}}}}, netip.Addr{}); err != nil {
		o.t.Fatal(err)
	}
	o.choose(id)
	for _, ev := range []session.Event{
		{Step: session.StepPlan, Level: session.Info},
		{Step: session.StepWritten, Level: session.Info},
		{Step: session.StepEntry, Level: entry, Message: "words of the entry"},
		{Step: session.StepBoot, Level: boot, Message: "words of the start"},
	} {
		o.seq++
		ev.Seq, ev.Session, ev.Since = o.seq, id, float64(o.seq)
		if err := o.e.Events(o.t.Context(), o.node,
			&session.Events{V: 1, Boot: "b", Events: []session.Event{ev}}); err != nil {
			o.t.Fatal(err)
		}
	}
}

// TestUnbootable follows sessions to their ends: that a machine has the image and will not start by itself is in the
// exit code, in words and in JSON. What only the firmware or another loader has to start is no such end.
func TestUnbootable(t *testing.T) {
	for _, c := range []struct {
		name        string
		image       string
		entry, boot string // levels
		code        int
		why         string // in words; empty: all is well
		foreseen    string // at create
	}{
		{"all is well", "debian", session.Info, session.Info, 0, "", ""},
		{"an entry that is in doubt", "debian", session.Warn, session.Info, 0, "", ""},
		{"no boot entry and no fallback", "debian", session.Error, session.Info, 5, "words of the entry", ""},
		{"nothing to start", "debian", session.Info, session.Error, 5, "words of the start", ""},
		{"an image for UEFI on BIOS", "lonely", session.Error, session.Error, 5,
			"words of the entry; words of the start", "the image starts by UEFI and this machine by BIOS"},
		{"an image for UEFI that starts all the same", "lonely", session.Info, session.Info, 0, "",
			"the image starts by UEFI and this machine by BIOS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOffice(t)
			code, out, said := o.run("session", "create", "--image", c.image, "--nodes", o.node)
			if code != 0 || (c.foreseen != "") != strings.Contains(said, "warning: node "+o.node+": "+c.foreseen) {
				t.Errorf("create: exit code %d, %q, want a warning of %q", code, said, c.foreseen)
			}
			id := strings.TrimSpace(out)
			o.restored(id, c.entry, c.boot)

			code, out, said = o.run("session", "watch", id)
			if code != c.code {
				t.Errorf("watch: exit code %d, want %d: %s", code, c.code, said)
			}
			want := "1 of 1 nodes will not start by themselves: " + o.node + ": " + c.why
			for name, text := range map[string]string{"watch": out, "watch, standard error": said,
				"show": o.must("show", id), "list": o.must("list")} {
				if got := strings.Contains(text, want); got != (c.why != "") {
					t.Errorf("%s has %q: %v\n%s", name, want, got, text)
				}
			}
			if got := strings.Contains(o.must("show", id), "will not start: "+c.why); got != (c.why != "") {
				t.Errorf("show does not say why:\n%s", o.must("show", id))
			}

			code, out, _ = o.run("session", "watch", id, "--json")
			if code != c.code {
				t.Errorf("watch --json: exit code %d, want %d", code, c.code)
			}
			var s doc.Session
			var p doc.Part
			for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
				var l doc.Line
				if err := dec.Decode(&l); err != nil {
					t.Fatal(err)
				}
				if l.Session != nil {
					s = *l.Session
				}
				if l.Node != nil {
					p = *l.Node
				}
			}
			n := 0
			if c.why != "" {
				n = 1
			}
			if s.State != doc.Done || s.Unbootable != n || p.State != doc.Done || p.Unbootable != c.why {
				t.Errorf("JSON: session %s with %d unbootable, node %s with %q; want both done, %d, %q", s.State,
					s.Unbootable, p.State, p.Unbootable, n, c.why)
			}
		})
	}
}

// must runs a command on sessions that succeeds.
func (o *office) must(args ...string) string {
	o.t.Helper()
	code, out, said := o.run(append([]string{"session"}, args...)...)
	if code != 0 {
		o.t.Fatalf("session %v: exit code %d: %s", args, code, said)
	}
	return out
}
