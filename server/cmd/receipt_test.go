package cmd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/receipt"
)

// TestReceipts: a receipt is shown and verified from its file and the pin alone, and one that was changed is an error
// whatever else is printed.
func TestReceipts(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	env, err := receipt.Sign(&receipt.Receipt{
		V: receipt.Version, ID: "s7/n1", Session: "s7", Kind: "erase", By: "operator",
		Server:  receipt.Server{Name: "lab"},
		Machine: receipt.Machine{ID: "n1"}, Disk: receipt.Disk{Model: "QEMU", Serial: "S1", Size: 1 << 30},
		Method: "overwrite",
		Term:   receipt.Clear, Reason: "every sector was written", Started: at, Ended: at.Add(time.Minute),
		Result:   receipt.Done,
		Verified: "all of it was read back", Left: []string{"sectors that the disk had remapped"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	pin := env.Signatures[0].KeyID
	env.Payload = bytes.Replace(env.Payload, []byte("S1"), []byte("S2"), 1)
	bad, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	a, b := file("a.json", good), file("b.json", bad)
	run := func(args ...string) (string, error) {
		var out, errs bytes.Buffer
		err := Run(t.Context(), append(args, "--state", filepath.Join(dir, "none")), strings.NewReader(""), &out, &errs)
		return out.String(), err
	}
	for _, c := range []struct {
		args []string
		says []string
		exit int
	}{
		{[]string{"receipt", "verify", "--pin", pin, a}, []string{"the signature holds: erase done"}, 0},
		{[]string{"receipt", "verify", "--pin", pin, a, b},
			[]string{"a.json: the signature holds", "b.json: the signature does not hold: the receipt was changed"}, 1},
		{[]string{"receipt", "verify", "--pin", "sha256:00", a}, []string{"and the one that is trusted is sha256:00"},
			1},
		{[]string{"receipt", "verify", a}, nil, 2},
		{[]string{"receipt", "show", "--pin", pin, a},
			[]string{"overwrite", "clear", "holds", "s7/n1: sectors that the disk had remapped"}, 0},
		{[]string{"receipt", "show", "--pin", pin, a, b}, []string{"DOES NOT HOLD", "changed"}, 1},
		{[]string{"receipt", "show", "--html", "--pin", pin, a, b}, []string{"1 of them failed", "SIGNATURE:"}, 1},
		{[]string{"receipt", "show", "--pin", pin, os.Args[0]}, nil, 1},
	} {
		out, err := run(c.args...)
		if ExitCode(err) != c.exit {
			t.Errorf("%v: exit %d, %v", c.args, ExitCode(err), err)
		}
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("%v: %q is not in:\n%s", c.args, want, out)
			}
		}
	}
	out, err := run("receipt", "show", "--json", "--pin", pin, b)
	var docs []struct {
		Valid bool
		Why   string
		Disk  receipt.Disk
	}
	if jerr := json.Unmarshal([]byte(out), &docs); jerr != nil || err == nil || len(docs) != 1 || docs[0].Valid ||
		docs[0].Why == "" || docs[0].Disk.Serial != "S2" {
		t.Errorf("%v %v %s", err, jerr, out)
	}
}
