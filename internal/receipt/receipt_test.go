package receipt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func sample() *Receipt {
	return &Receipt{
		V: Version, ID: "s7/52:54:00:00:00:01", Session: "s7", Kind: "erase", By: "operator",
		Server:  Server{Name: "lab", Version: "1.0"},
		Machine: Machine{ID: "52:54:00:00:00:01", Name: "rack1-7", Vendor: "QEMU", Serial: "A1"},
		Disk:    Disk{Path: "/dev/nvme0n1", Model: "QEMU NVMe Ctrl", Serial: "S1", Size: 1 << 30},
		Method:  "nvme-format-crypto", Term: Purge, Reason: "every key was made anew",
		Verified: "1 % of the disk was read back",
		Started:  time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC), Ended: time.Date(2026, 11, 28, 10, 1, 0, 0, time.UTC),
		Result: Done,
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t *testing.T, k *ecdsa.PrivateKey) (*Envelope, []byte) {
	t.Helper()
	e, err := Sign(sample(), k)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return e, b
}

func TestSignedAndVerified(t *testing.T) {
	k := newKey(t)
	e, b := signed(t, k)
	pin := e.Signatures[0].KeyID
	got, err := Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r, err := got.Verify(pin)
	if d := cmp.Diff(sample(), r); err != nil || d != "" {
		t.Fatal(err, d)
	}
	other, _ := signed(t, newKey(t))
	if _, err := got.Verify(other.Signatures[0].KeyID); !errors.Is(err, ErrSignature) ||
		!strings.Contains(err.Error(), pin) {
		t.Errorf("by another key: %v", err)
	}
	// Somebody signs what we did not, and names our key.
	lie := *other
	lie.Signatures = []Signature{{KeyID: pin, Sig: other.Signatures[0].Sig, PublicKey: e.Signatures[0].PublicKey}}
	if _, err := lie.Verify(pin); !errors.Is(err, ErrSignature) {
		t.Errorf("another's signature under our key: %v", err)
	}
	lie.Signatures[0].PublicKey = other.Signatures[0].PublicKey
	if _, err := lie.Verify(pin); !errors.Is(err, ErrSignature) {
		t.Errorf("another's key under our pin: %v", err)
	}
}

// TestEveryByteCounts: whatever one bit of an envelope is changed to, it is refused or says the same.
func TestEveryByteCounts(t *testing.T) {
	e, b := signed(t, newKey(t))
	want := sample()
	for i := range b {
		for bit := range 8 {
			c := bytes.Clone(b)
			c[i] ^= 1 << bit
			got, err := Parse(bytes.NewReader(c))
			if err != nil {
				continue
			}
			r, err := got.Verify(e.Signatures[0].KeyID)
			if err == nil && !cmp.Equal(want, r) {
				t.Fatalf("bit %d of byte %d changed %q and nothing was said", bit, i, cmp.Diff(want, r))
			}
		}
	}
}

// TestOpenSSL: a program that knows nothing of us agrees with the signature.
func TestOpenSSL(t *testing.T) {
	need.Tools(t, "openssl")
	e, _ := signed(t, newKey(t))
	dir := t.TempDir()
	path := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	key := path("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: e.Signatures[0].PublicKey}))
	sig := path("sig", e.Signatures[0].Sig)
	for what, want := range map[string]bool{string(e.Payload): true,
		strings.Replace(string(e.Payload), "S1", "S2", 1): false} {
		out, err := exec.Command("openssl", "dgst", "-sha256", "-verify", key, "-signature", sig,
			path("pae", pae(PayloadType, []byte(what)))).CombinedOutput()
		if (err == nil) != want {
			t.Errorf("openssl: %v: %s", err, out)
		}
	}
}

func TestIncompleteIsNotSigned(t *testing.T) {
	k := newKey(t)
	for _, c := range []struct {
		change func(*Receipt)
		says   string
	}{
		{func(r *Receipt) { r.V = 2 }, "version 2"},
		{func(r *Receipt) { r.By = " " }, "no by"},
		{func(r *Receipt) { r.Disk.Size = 0 }, "no size"},
		{func(r *Receipt) { r.Ended = r.Started.Add(-time.Second) }, "before it started"},
		{func(r *Receipt) { r.Started = time.Time{} }, "when"},
		{func(r *Receipt) { r.Result = "ok" }, `result is "ok"`},
		{func(r *Receipt) { r.Result, r.Term, r.Reason = Failed, "", "" }, "why it failed"},
		{func(r *Receipt) { r.Result, r.Message = Failed, "it stopped" }, "claims a term"},
		{func(r *Receipt) { r.Reason = "" }, "claims a term"},
		{func(r *Receipt) { r.Term = "destroy" }, `term is "destroy"`},
		{func(r *Receipt) { r.Verified = "" }, "no verified"},
	} {
		r := sample()
		c.change(r)
		if _, err := Sign(r, k); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("want %q, got %v", c.says, err)
		}
	}
}

func TestNoReceipt(t *testing.T) {
	_, b := signed(t, newKey(t))
	for says, in := range map[string][]byte{
		"no receipt":       []byte("PK\x03\x04"),
		"payload type":     bytes.Replace(b, []byte("vnd.diskcast"), []byte("vnd.in-toto"), 1),
		"follows":          append(bytes.Clone(b), b...),
		"no signature":     []byte(`{"payloadType":"` + PayloadType + `","payload":"e30="}`),
		"more than 104857": append(bytes.Repeat([]byte(" "), MaxSize), b...),
	} {
		if _, err := Parse(bytes.NewReader(in)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}

// TestPage: what a disk calls itself cannot become part of the page, and a bad receipt is in its first line.
func TestPage(t *testing.T) {
	good, evil := sample(), sample()
	evil.Disk.Model = `<script>alert(1)</script>`
	evil.Machine.Name = `"><img src=x onerror=y>`
	good.Details = json.RawMessage(`{"image":"debian:12","manifest":"sha256:feed"}`)
	good.Machine.Machine, good.Machine.MACs = "m7", []string{"52:54:00:00:00:01"}
	evil.Details = json.RawMessage(`{"image":"</td>\u001b"}`)
	evil.Left = []string{"a\u202egnp.exe", "b\x1b[31m"}
	var out bytes.Buffer
	if err := Page(&out, []Signed{{Receipt: good, Key: "sha256:a"},
		{Receipt: evil, Claims: []string{"sha256:b"}, Bad: "changed"}}); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, want := range []string{"1 of them failed", "SIGNATURE: changed", "rack1-7", "NIST SP 800-88: purge",
		"&lt;script&gt;", "key sha256:a", "image debian:12", "sha256:feed", "machine m7",
		"52:54:00:00:00:01", "Receipts of s7: 2 machines", "1 of 2 signatures DO NOT HOLD",
		"1 of 2 signatures hold, by the key",
		"signature holds", "image &lt;/td&gt;", "names a key that was not verified: sha256:b"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, no := range []string{"<script", "<img", "\u202e", "\x1b", ", key sha256:b"} {
		if strings.Contains(page, no) {
			t.Errorf("the page has %q", no)
		}
	}
	if evil.Left[1] != "b\x1b[31m" {
		t.Error("the receipt itself was changed")
	}
}

// TestOnlyVerifiedKeys: what an envelope calls a key is shown as the signer's only where that signature was verified.
func TestOnlyVerifiedKeys(t *testing.T) {
	e, _ := signed(t, newKey(t))
	other, _ := signed(t, newKey(t))
	pin, foreign := e.Signatures[0].KeyID, other.Signatures[0].KeyID
	renamed, second, changed := *e, *e, *e
	renamed.Signatures = []Signature{e.Signatures[0]}
	renamed.Signatures[0].KeyID = "sha256:\nfeed"
	second.Signatures = []Signature{other.Signatures[0], e.Signatures[0]}
	changed.Payload = bytes.Replace(e.Payload, []byte("S1"), []byte("S2"), 1)
	for _, c := range []struct {
		name   string
		env    Envelope
		key    string
		claims []string
		signer string
	}{
		{"as signed", *e, pin, nil, pin},
		{"another keyid", renamed, pin, []string{"sha256: feed"}, pin},
		{"two signatures", second, pin, []string{foreign}, pin},
		{"by another", *other, "", []string{foreign}, foreign},
		{"changed", changed, "", []string{pin}, ""},
	} {
		s, err := c.env.Look(pin)
		if err != nil || s.Key != c.key || (s.Bad == "") != (c.key != "") || !cmp.Equal(s.Claims, c.claims) {
			t.Errorf("%s: %v, %+v", c.name, err, s)
		}
		signer, err := c.env.Signer()
		if c.name != "two signatures" && (signer != c.signer || (err == nil) != (signer != "")) {
			t.Errorf("%s: signed by %q, %v", c.name, signer, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	e, err := Sign(sample(), k)
	if err != nil {
		f.Fatal(err)
	}
	b, _ := json.Marshal(e)
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Parse(bytes.NewReader(in))
		if err != nil {
			return
		}
		if r, err := got.Verify(e.Signatures[0].KeyID); err == nil && !cmp.Equal(r, sample()) {
			t.Errorf("it was signed by nobody: %+v", r)
		}
		if r, err := got.Unverified(); err == nil && r.Check() != nil {
			t.Error("a receipt that is not whole was read")
		}
	})
}
