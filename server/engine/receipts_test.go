package engine_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// theDisk is the one of every machine under test.
var theDisk = session.DiskID{Path: "/dev/vda", Size: 1 << 30}

func signer(t *testing.T) func(*receipt.Receipt) (*receipt.Envelope, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *receipt.Receipt) (*receipt.Envelope, error) { return receipt.Sign(r, key) }
}

// readReceipt verifies a receipt by the key that it names.
func readReceipt(t *testing.T, raw []byte) *receipt.Receipt {
	t.Helper()
	env, err := receipt.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	r, err := env.Verify(env.Signatures[0].KeyID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReceipts: a part that had a plan has a receipt of its end, whichever it was; it survives restarts, and a second
// try has its own.
func TestReceipts(t *testing.T) {
	h := newHouse(t)
	h.crash()
	h.name, h.sign = "lab", signer(t)
	h.start()
	m := h.machine(1)
	m.uuid, m.serial = "4c4c4544-0001", "A1"
	m.powerOn()
	s := h.create(doc.Spec{Image: "debian", Nodes: []string{m.mac}})
	if list, err := h.e.Receipts(t.Context(), s.ID); err != nil || len(list) != 0 {
		t.Fatalf("before its end there are %d receipts: %v", len(list), err)
	}
	choose := func() {
		t.Helper()
		if _, err := h.e.ChooseDisk(t.Context(), m.id,
			&session.DiskChoice{V: 1, Session: s.ID, Disk: theDisk}); err != nil {
			t.Fatal(err)
		}
	}
	choose()
	m.say(s.ID, session.StepPlan, session.StepFailed+": the disk is failing")
	h.expect(s.ID, "failed failed")
	h.restart()
	list, err := h.e.Receipts(t.Context(), s.ID)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d receipts: %v", len(list), err)
	}
	r := readReceipt(t, list[0])
	if r.Result != receipt.Failed || !strings.Contains(r.Message, "disk is failing") || r.Server.Name != "lab" ||
		r.Machine.Serial != "A1" || r.Machine.Machine != "m1" || r.Kind != "restore" ||
		r.Disk.Size != theDisk.Size || !strings.Contains(string(r.Details), "debian") || len(r.Machine.MACs) != 1 {
		t.Errorf("%+v", r)
	}
	s = h.create(doc.Spec{Image: "debian", Nodes: []string{m.mac}})
	choose()
	m.say(s.ID, goodRestore...)
	all, err := h.e.Receipts(t.Context(), "")
	if err != nil || len(all) != 2 {
		t.Fatalf("%d receipts of both sessions: %v", len(all), err)
	}
	if r := readReceipt(t, all[1]); r.Result != receipt.Done || r.Session != s.ID {
		t.Errorf("%+v", r)
	}
	if _, err := h.e.Receipts(t.Context(), "s1/x"); err == nil {
		t.Error("a session with a slash in its name has receipts")
	}
}

// TestUnsigned: a receipt that cannot be signed is told at part and session, also after the session's end.
func TestUnsigned(t *testing.T) {
	h := newHouse(t)
	h.crash()
	h.sign = func(*receipt.Receipt) (*receipt.Envelope, error) { return nil, errors.New("the key is gone") }
	h.start()
	m := h.machine(1)
	m.powerOn()
	s := h.create(doc.Spec{Image: "debian", Nodes: []string{m.mac}})
	m.say(s.ID, session.StepPlan, session.StepFailed+":  ")
	h.expect(s.ID, "failed failed")
	h.restart()
	v, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	says(t, "no receipt of what was done to its disk: the key is gone", v.Warnings...)
	says(t, "no receipt of what was done to its disk: the key is gone", v.Parts[0].NoReceipt)
	says(t, "the node does not say why", v.Parts[0].Reason)
}
