package engine_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/store"
)

// testdata/state-*.db.gz are state files of server versions, and the .json beside each says what that version showed of
// it. A version that changes what is stored adds its own, with -make-state, before the change; those that are there
// stay as they are.
var makeState = flag.String("make-state", "",
	"write testdata/`NAME`.db.gz and .json as this version stores and shows them")

// shown is what a server shows of its state, as JSON, and what it must know beside that.
type shown struct {
	Now         time.Time                      `json:"now"`
	Sessions    []*doc.Session                 `json:"sessions"`
	Nodes       []doc.Node                     `json:"nodes"`
	Logs        map[string][]doc.Event         `json:"logs"`
	Descriptors map[string]*session.Descriptor `json:"descriptors"`
	Casts       []session.Cast                 `json:"casts"`  // that go on
	Tokens      map[string]string              `json:"tokens"` // token -> node
	Boots       map[string]string              `json:"boots"`  // node -> boot id
	Leases      map[string]string              `json:"leases"` // address -> MAC
	Pin         string                         `json:"pin"`
}

const storedPin = "sha256//cGluIG9mIHRoZSBzZXJ2ZXIgYmVmb3Jl"

var storedLeases = map[string]string{"10.0.0.101": "52:54:00:00:00:01", "10.0.0.102": "52:54:00:00:00:02"}

// look asks the engine for all that it shows.
func (h *house) look() *shown {
	h.t.Helper()
	out := &shown{Now: h.clock(), Sessions: h.e.Sessions(), Nodes: h.e.Nodes(), Logs: map[string][]doc.Event{},
		Descriptors: map[string]*session.Descriptor{}, Tokens: map[string]string{}, Boots: map[string]string{},
		Leases: map[string]string{}}
	running := 0
	for _, s := range out.Sessions {
		if s.State == doc.Casting {
			running++
		}
	}
	err := h.casts.Wait(h.t.Context(), func(m map[uint32]session.Cast) bool {
		out.Casts = slices.SortedFunc(maps.Values(m),
			func(a, b session.Cast) int { return strings.Compare(a.Group.String(), b.Group.String()) })
		return len(m) == running
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, n := range out.Nodes {
		if out.Logs[n.ID], err = h.e.Log(h.t.Context(), n.ID, 1000, true); err != nil {
			h.t.Fatal(err)
		}
		if out.Descriptors[n.ID], err = h.e.Descriptor(h.t.Context(), n.ID, 0, 0); err != nil {
			h.t.Fatal(err)
		}
	}
	pool := h.pool()
	for a := range storedLeases {
		out.Leases[a], _ = pool.MAC(netip.MustParseAddr(a))
	}
	err = h.store.View(h.t.Context(), func(tx store.Tx) error { return store.GetJSON(tx, "serve/pin", &out.Pin) })
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *house) pool() *dhcp.Pool {
	h.t.Helper()
	server := netip.MustParsePrefix("10.0.0.1/24")
	r, err := dhcp.ParseRange("10.0.0.100-10.0.0.120", server)
	if err != nil {
		h.t.Fatal(err)
	}
	p, err := dhcp.NewPool(h.t.Context(),
		dhcp.PoolConfig{Store: h.store, Range: r, Server: server, Term: time.Hour, Now: h.clock})
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// live makes what a server comes to know: sessions that are over, that run and that wait, a capture, a claim, machines
// that are odd.
func (h *house) live() (machines []*machine) {
	h.t.Helper()
	m := map[int]*machine{}
	for _, i := range []int{1, 2, 3, 4, 5, 6, 11} {
		m[i] = h.machine(i)
		m[i].uuid, m[i].serial, m[i].firmware = fmt.Sprintf("4c4c4544-0000-2010-8020-0000000000%02d", i),
			fmt.Sprintf("SN%04d", i), session.UEFI
		m[i].addr = netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)})
		m[i].disks = []session.Disk{{Path: "/dev/sda", Size: 1 << 30, SectorSize: 512, Serial: fmt.Sprintf("D%d", i),
			Model: "disk", Bus: "ata", BusPath: "pci-0000:00:1f.2-ata-1"}}
	}
	m[1].others = []string{"52:54:00:00:01:01"}
	done := h.create(doc.Spec{Nodes: []string{m[1].mac}, Target: session.Target{Type: session.TypeSSD}, Verify: true})
	m[1].powerOn()
	m[1].say(done.ID, goodRestore...)
	m[1].powerOn() // to its own disk

	cap := h.capture(m[4])
	m[4].powerOn()
	h.choose(m[4], cap.ID)
	m[4].say(cap.ID, session.StepPlan+": one disk", session.StepProgress)

	gone := h.create(doc.Spec{Nodes: []string{m[5].mac}})
	m[5].powerOn()
	m[5].say(gone.ID, session.StepFailed+": the disk is too small")

	run := h.create(doc.Spec{Nodes: []string{m[2].mac, m[3].mac, m[11].mac, h.machine(9).mac}, MinNodes: 3,
		Image: "ubuntu", Mode: session.Auto})
	for _, i := range []int{2, 3, 11} {
		m[i].powerOn()
	}
	m[2].say(run.ID, goodRestore...)
	h.choose(m[3], run.ID)
	m[3].say(run.ID, session.StepPlan, session.StepTable, session.StepFirstByte, session.StepLog+": a line of its log")
	m[11].say(run.ID, session.StepPlan)
	m[11].boot, m[11].seq = "another boot", 0
	m[11].hello() // within a minute: what it says next is a claim
	m[11].say(run.ID, goodRestore...)

	h.create(doc.Spec{Nodes: []string{h.machine(10).mac}, MaxWait: 86400})

	m[6].powerOn()
	m[6].serial = "SN9999"
	m[6].hello() // odd
	h.e.Saw(h.machine(7).mac, netip.MustParseAddr("10.0.0.107"), doc.StepDHCP, "test")
	h.e.Saw(h.machine(7).mac, netip.Addr{}, doc.StepKernel, "vmlinuz")
	h.e.Saw(h.machine(8).mac, netip.MustParseAddr("10.0.0.108"), doc.StepDHCP, "test")

	pool := h.pool()
	for a, mac := range storedLeases {
		addr := netip.MustParseAddr(a)
		if _, err := pool.Reserve(mac, addr); err != nil {
			h.t.Fatal(err)
		}
		if _, err := pool.Commit(h.t.Context(), mac, addr); err != nil {
			h.t.Fatal(err)
		}
	}
	err := h.store.Update(h.t.Context(),
		func(tx store.WriteTx) error { return store.PutJSON(tx, "serve/pin", storedPin) })
	if err != nil {
		h.t.Fatal(err)
	}
	return slices.Collect(maps.Values(m))
}

func (h *house) choose(m *machine, id string) {
	h.t.Helper()
	d := m.disks[0].ID()
	if _, err := h.e.ChooseDisk(h.t.Context(), m.id, &session.DiskChoice{V: 1, Session: id, Disk: d}); err != nil {
		h.t.Fatal(err)
	}
}

func TestMakeState(t *testing.T) {
	if *makeState == "" {
		t.Skip("only with -make-state NAME")
	}
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := store.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, store: db, images: &enginetest.Images{}, addr: netip.MustParseAddr("127.0.0.1"),
		room: &storeRoom{free: 10 << 30},
		now:  time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.start()
	machines := h.live()
	h.restart()
	out := h.look()
	for _, m := range machines {
		out.Tokens[m.token], out.Boots[m.id] = m.id, m.boot
	}
	h.crash()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	words, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{".db.gz": packed.Bytes(), ".json": append(words, '\n')} {
		if err := os.WriteFile(filepath.Join("testdata", *makeState+name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// storedState unpacks a state file of an older version, and reads what that version showed of it.
func storedState(t *testing.T, name string) (path string, was *shown) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, plain, 0o600); err != nil {
		t.Fatal(err)
	}
	words, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	was = &shown{}
	if err := json.Unmarshal(words, was); err != nil {
		t.Fatal(err)
	}
	return path, was
}

// lost says what of was is not in is; is may have more.
func lost(was, is any, where string) (out []string) {
	switch w := was.(type) {
	case map[string]any:
		m, _ := is.(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(w)) {
			out = append(out, lost(w[k], m[k], where+"."+k)...)
		}
		return out
	case []any:
		l, _ := is.([]any)
		if len(l) != len(w) {
			return []string{fmt.Sprintf("%s: %d entries, were %d", where, len(l), len(w))}
		}
		for i := range w {
			out = append(out, lost(w[i], l[i], fmt.Sprintf("%s[%d]", where, i))...)
		}
		return out
	}
	if !reflect.DeepEqual(was, is) {
		return []string{fmt.Sprintf("%s: %v, was %v", where, is, was)}
	}
	return nil
}

// asJSON is v as a client reads it.
func asJSON(t *testing.T, v any) (out any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOldState opens the state file of each older version: nothing of it is lost, and its sessions go on to their ends.
func TestOldState(t *testing.T) {
	files, err := filepath.Glob("testdata/*.db.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no states of older versions: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".db.gz")
		t.Run(name, func(t *testing.T) {
			path, was := storedState(t, name)
			db, err := store.OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			h := &house{t: t, store: db, images: &enginetest.Images{}, addr: netip.MustParseAddr("127.0.0.1"),
				room: &storeRoom{free: 10 << 30}, now: was.Now}
			h.start()
			t.Cleanup(func() {
				h.crash()
				db.Close()
			})
			is := h.look()
			for token, id := range was.Tokens {
				if got, err := h.e.Authorize(token); err != nil || got != id {
					t.Errorf("token of %s: %q, %v", id, got, err)
				}
			}
			is.Tokens, is.Boots = was.Tokens, was.Boots
			for _, x := range slices.Concat(was.Sessions, is.Sessions) {
				if x.Cast != nil {
					x.Cast.Stats = doc.CastStats{} // of a cast's own life
				}
			}
			for _, log := range was.Logs { // the ids of boots were shown; marks of them are
				for i := range log {
					if sum := sha256.Sum256([]byte(log[i].Boot)); log[i].Boot != "" {
						log[i].Boot = hex.EncodeToString(sum[:8])
					}
				}
			}
			for _, l := range lost(asJSON(t, was), asJSON(t, is), "") {
				t.Error(l)
			}
			for _, n := range was.Nodes {
				m, err := h.e.Machine(n.ID)
				if hello := was.Boots[n.ID] != ""; hello && (err != nil || m.Nodes[0] != n.ID) {
					t.Errorf("node %s is a sighting of no machine: %+v, %v", n.ID, m, err)
				}
			}
			h.goOn(was)
		})
	}
}

// goOn brings the sessions of live to their ends, and a new one through.
func (h *house) goOn(was *shown) {
	t := h.t
	known := func(i int) *machine {
		m := h.machine(i)
		m.id, m.seq = strings.ReplaceAll(m.mac, ":", "-"), 100
		m.boot = was.Boots[m.id]
		return m
	}
	byImage := map[string]string{}
	for _, s := range was.Sessions {
		if !s.Over() {
			byImage[s.Image.Name] = s.ID
		}
	}
	run, cap := byImage["ubuntu"], byImage["golden"]
	h.expect(run, "casting waiting done running running")
	known(3).say(run, goodRestore...)
	h.pass(2 * time.Minute) // the claim of 11 holds
	h.expect(run, "casting waiting done done done")
	last := h.machine(9)
	last.powerOn()
	last.say(run, goodRestore...)
	h.expect(run, "done done done done done")
	h.expect(cap, "capturing running")
	up, err := h.e.Upload(known(4).id, h.upload(was, known(4).id))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.e.Captured(t.Context(), up, "golden"); err != nil {
		t.Fatal(err)
	}
	known(4).say(cap, session.StepUploaded)
	h.expect(cap, "done done")
	if h.e.Boots(known(2).mac) != netboot.OwnDisk || h.e.Boots(known(7).mac) != netboot.Agent {
		t.Error("who boots its own disk was lost")
	}
	next := h.create(doc.Spec{Nodes: []string{known(1).mac}})
	for _, s := range was.Sessions {
		if s.ID == next.ID {
			t.Errorf("%s was given a second time", next.ID)
		}
	}
	one := known(1)
	one.boots = 1
	one.uuid, one.serial = "4c4c4544-0000-2010-8020-000000000001", "SN0001"
	if !one.powerOn() {
		t.Fatal("the machine was not sent to the agent")
	}
	one.say(next.ID, goodRestore...)
	h.expect(next.ID, "done done")
	_, err = h.e.Create(t.Context(), doc.Spec{V: 1, Capture: "other", Nodes: []string{known(6).mac}})
	if err == nil || !strings.Contains(err.Error(), "may be another machine") {
		t.Errorf("what was odd of a node was lost: %v", err)
	}
	h.restart()
	h.expect(run, "done done done done done")
	h.expect(cap, "done done")
	if _, err := h.e.Session(next.ID); err != nil {
		t.Error(err)
	}
}

func (h *house) upload(was *shown, id string) string {
	h.t.Helper()
	d := was.Descriptors[id]
	if d == nil || d.Upload == nil {
		h.t.Fatalf("node %s had no capture: %+v", id, d)
	}
	return d.Upload.ID
}

var _ engine.Captures = (*storeRoom)(nil)
