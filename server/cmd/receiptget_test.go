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
	"github.com/diskcast/diskcast/internal/testenv/need"
)

func receiptOf(t *testing.T, id string) (raw []byte, pin string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	env, err := receipt.Sign(&receipt.Receipt{V: receipt.Version, ID: id, Session: "s7", Kind: "erase", By: "operator",
		Server: receipt.Server{Name: "lab"}, Machine: receipt.Machine{ID: "n1"}, Disk: receipt.Disk{Size: 1 << 30},
		Method: "overwrite", Started: at, Ended: at, Result: receipt.Done, Verified: "no"}, key)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = json.Marshal(env); err != nil {
		t.Fatal(err)
	}
	return raw, env.Signatures[0].KeyID
}

// TestReceiptsOfFormerKey: receipts that another key signed are written and named, a changed one is not written, and
// neither keeps the others from their files.
func TestReceiptsOfFormerKey(t *testing.T) {
	old, former := receiptOf(t, "s7/n1")
	now, pin := receiptOf(t, "s7/n2")
	changed := bytes.Replace(old, []byte(`"sig":"M`), []byte(`"sig":"N`), 1)
	dir := t.TempDir()
	got := writeReceipts(dir, []json.RawMessage{changed, old, now}, pin)
	a, b := filepath.Join(dir, "s7-n1.json"), filepath.Join(dir, "s7-n2.json")
	if strings.Join(got.names, " ") != a+" "+b || len(got.failed) != 1 {
		t.Fatalf("%+v", got)
	}
	err := got.err(pin)
	for _, want := range []string{"s7/n1 is not written", a + " by " + former, "present key " + pin, "verify --pin"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	cut := filepath.Join(dir, "cut.json")
	if err := os.WriteFile(cut, old[:40], 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	err = Run(t.Context(), []string{"receipt", "verify", "--json", "--pin", former, b, cut, a}, strings.NewReader(""),
		&out, &errs)
	var docs []struct {
		File, Key, Why string
		Valid          bool
	}
	if jerr := json.Unmarshal(out.Bytes(), &docs); jerr != nil || ExitCode(err) != 1 || len(docs) != 3 ||
		docs[0].Valid || docs[0].Key != "" || docs[1].File != cut || docs[1].Valid || docs[1].Why == "" ||
		!docs[2].Valid || docs[2].Key != former {
		t.Errorf("%v %v %s", err, jerr, &out)
	}
}

// TestReceiptOnFullDisk: a receipt that does not fit leaves no file, and an empty one of before is filled.
func TestReceiptOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	need.SmallDisk(t, dir, "8k")
	name := filepath.Join(dir, "s7-n1.json")
	if err := writeWhole(name, make([]byte, 64<<10)); err == nil {
		t.Fatal("64 KiB fit into 8")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatalf("%v is left, %v", left, err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeWhole(name, []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "{}\n" {
		t.Fatalf("%q %v", b, err)
	}
}
