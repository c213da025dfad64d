package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/cast/core"
)

func restoreDescriptor() *Descriptor {
	return &Descriptor{
		V: Version, Session: "s1", Node: "n1", Serial: 7, Action: Restore,
		Image: &Image{
			Name: "debian:12", Manifest: "sha256:aa",
			Config: Blob{Digest: "sha256:bb", Size: 10}, Index: Blob{Digest: "sha256:cc", Size: 20},
			ObjectSize: 4096,
		},
		Cast: &Cast{
			ID: 9, Group: netip.MustParseAddrPort("239.192.0.1:9000"),
			Feedback: netip.MustParseAddrPort("10.0.0.1:9001"),
			Key:      bytes.Repeat([]byte{3}, 32), Sender: bytes.Repeat([]byte{4}, 64), Size: 4096, Payload: 1408,
			K: 128,
		},
		Target: &Target{Serial: "disk0", MinSize: 1 << 30},
		Mode:   Auto,
		Boot:   &Boot{Method: BootKexec, Append: "quiet"},
	}
}

func captureDescriptor() *Descriptor {
	return &Descriptor{
		V: Version, Session: "s2", Node: "n1", Serial: 8, Action: Capture, Target: &Target{Path: "/dev/sda"},
		Upload: &Upload{ID: "s2-0a1b", Name: "golden", Level: "default", Grid: 4 << 20},
		Boot:   &Boot{Method: BootReboot},
	}
}

func TestRoundTrip(t *testing.T) {
	docs := map[string]struct{ in, out Document }{
		"hello": {&Hello{V: 1, Boot: "b", Agent: "1", Inventory: Inventory{
			Firmware: UEFI, Memory: 1 << 29,
			Disks: []Disk{{Path: "/dev/vda", Size: 1 << 33, SectorSize: 4096, Serial: "x"}},
			NICs: []NIC{{Name: "eth0", MAC: "52:54:00:00:00:01", Up: true, Boot: true,
				Addrs: []string{"10.0.0.5/24"}}},
		}}, &Hello{}},
		"hello reply": {&HelloReply{V: 1, Node: "n1", Token: "t"}, &HelloReply{}},
		"descriptor":  {restoreDescriptor(), &Descriptor{}},
		"capture":     {captureDescriptor(), &Descriptor{}},
		"events": {&Events{V: 1, Boot: "b", Events: []Event{
			{Seq: 1, Session: "s1", Step: StepProgress, Level: Info, Since: 3.5,
				Progress: &Progress{Received: 5, Needed: 9, Loss: 0.01}},
		}}, &Events{}},
	}
	for name, d := range docs {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(d.in)
			if err != nil {
				t.Fatal(err)
			}
			if err := Decode(bytes.NewReader(raw), d.out); err != nil {
				t.Fatalf("Decode(%s): %v", raw, err)
			}
			if diff := cmp.Diff(d.in, d.out,
				cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("what came back differs (-sent +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	var r HelloReply
	doc := `{"v":1,"node":"n1","token":"t","colour":"blue","nested":{"deep":[1,2,{"x":null}]}}`
	if err := Decode(strings.NewReader(doc), &r); err != nil {
		t.Fatal(err)
	}
	if want := (HelloReply{V: 1, Node: "n1", Token: "t"}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	for _, doc := range []string{`{"v":2,"node":"n1","token":"t"}`, `{"v":0,"node":"n1","token":"t"}`,
		`{"node":"n1","token":"t"}`} {
		var r HelloReply
		if err := Decode(strings.NewReader(doc), &r); !errors.Is(err, ErrVersion) {
			t.Errorf("Decode(%s) = %v, want ErrVersion", doc, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	edit := func(f func(*Descriptor)) string {
		d := restoreDescriptor()
		f(d)
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	cases := map[string]struct{ doc, want string }{
		"empty":            {``, "not valid JSON"},
		"truncated":        {`{"v":1,`, "not valid JSON"},
		"trailing data":    {edit(func(*Descriptor) {}) + `{}`, "after its end"},
		"too large":        {`{"v":1,"session":"` + strings.Repeat("x", MaxDocument) + `"}`, "larger than"},
		"unknown action":   {edit(func(d *Descriptor) { d.Action = "explode" }), `unknown action "explode"`},
		"no session":       {edit(func(d *Descriptor) { d.Session = "" }), "no session"},
		"no target":        {edit(func(d *Descriptor) { d.Target = nil }), "no target rule"},
		"target elsewhere": {edit(func(d *Descriptor) { d.Target.Path = "/etc/passwd" }), "not under /dev"},
		"empty size class": {edit(func(d *Descriptor) { d.Target.MaxSize = 1 }), "is empty"},
		"no image":         {edit(func(d *Descriptor) { d.Image = nil }), "no image"},
		"no index":         {edit(func(d *Descriptor) { d.Image.Index.Digest = "" }), "digest is missing"},
		"negative object":  {edit(func(d *Descriptor) { d.Image.ObjectSize = -1 }), "out of range"},
		"unicast group": {edit(func(d *Descriptor) { d.Cast.Group = netip.MustParseAddrPort("10.0.0.9:1") }),
			"not a multicast"},
		"short key":    {edit(func(d *Descriptor) { d.Cast.Key = d.Cast.Key[:16] }), "16 bytes, not 32"},
		"short sender": {edit(func(d *Descriptor) { d.Cast.Sender = d.Cast.Sender[:63] }), "63 bytes, not 64"},
		"no sender":    {edit(func(d *Descriptor) { d.Cast.Sender = make([]byte, 64) }), "no public keys"},
		"too many blocks": {edit(func(d *Descriptor) {
			d.Cast.Payload, d.Cast.K, d.Cast.Size, d.Image.ObjectSize = 64, 1, 1<<40, 1<<40
		}), "2^32-1 blocks"},
		"size mismatch": {edit(func(d *Descriptor) { d.Cast.Size = 1 }), "image object of 4096"},
		"payload":       {edit(func(d *Descriptor) { d.Cast.Payload = 1400 }), "multiple of 64"},
		"k":             {edit(func(d *Descriptor) { d.Cast.K = 200 }), "not 1..128"},
		"mode":          {edit(func(d *Descriptor) { d.Mode = "fast" }), `unknown mode "fast"`},
		"boot":          {edit(func(d *Descriptor) { d.Boot.Method = "hope" }), `unknown boot method "hope"`},
	}
	for name, x := range map[string]struct {
		f    func(*Descriptor)
		want string
	}{
		"capture without upload": {func(d *Descriptor) { d.Upload = nil }, "without upload"},
		"upload id":              {func(d *Descriptor) { d.Upload.ID = "../x" }, "upload: id"},
		"upload name":            {func(d *Descriptor) { d.Upload.Name = "" }, "no name"},
		"upload level":           {func(d *Descriptor) { d.Upload.Level = "best" }, "fast, default, small"},
		"upload grid":            {func(d *Descriptor) { d.Upload.Grid = 3 << 20 }, "power of two"},
		"capture and kexec":      {func(d *Descriptor) { d.Boot.Method = BootKexec }, "kexec"},
	} {
		d := captureDescriptor()
		x.f(d)
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		cases[name] = struct{ doc, want string }{string(raw), x.want}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := Decode(strings.NewReader(c.doc), &Descriptor{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func FuzzDescriptor(f *testing.F) {
	raw, err := json.Marshal(restoreDescriptor())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	big := restoreDescriptor()
	big.Cast.Payload, big.Cast.K, big.Cast.Size, big.Image.ObjectSize = 64, 1, 64*(1<<32-1), 64*(1<<32-1)
	if raw, err = json.Marshal(big); err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"v":1,"action":"idle"}`))
	f.Add([]byte(`{"v":1,"action":"idle","look":{"id":"A","group":"239.192.255.255:25000","packet":1476,"listen":8}}`))
	f.Add([]byte(`{"v":1,"action":"capture","session":"s","target":{},"upload":{"id":"u","name":"n",` +
		`"level":"fast","grid":65536}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var d Descriptor
		if Decode(bytes.NewReader(doc), &d) != nil {
			return
		}
		if err := d.Validate(); err != nil {
			t.Fatalf("read, and not valid: %v", err)
		}
		// What a node is told of a cast is what a receiver takes.
		if c := d.Cast; c != nil && d.Action == Restore {
			p := core.Params{ID: c.ID, Group: c.Group, Feedback: c.Feedback, Size: c.Size, Payload: c.Payload, K: c.K}
			copy(p.Key[:], c.Key)
			copy(p.Sender[:], c.Sender)
			if err := p.Check(); err != nil {
				t.Fatalf("accepted, and no receiver takes it: %v", err)
			}
		}
		// What was accepted is accepted again after a round trip: nothing is lost that check needs.
		again, err := json.Marshal(&d)
		if err != nil {
			t.Fatalf("accepted descriptor cannot be written: %v", err)
		}
		var e Descriptor
		if err := Decode(bytes.NewReader(again), &e); err != nil {
			t.Fatalf("accepted descriptor is refused after a round trip: %v\n%s", err, again)
		}
	})
}

func FuzzLookResult(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"A","nic":"eth0","link_wait":2.5,"path_mtu":1500,"heard":3,"querier":"",` +
		`"counters":{"rx_packets":1}}`))
	f.Add([]byte(`{"v":1,"id":"A","link_wait":-1}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var r LookResult
		if Decode(bytes.NewReader(doc), &r) == nil && (r.ID == "" || len(r.Disks) > maxLookDisk || r.Memory < 0 ||
			r.LinkWait != nil && *r.LinkWait < 0) {
			t.Errorf("read: %+v", r)
		}
	})
}
