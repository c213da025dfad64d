package cmd

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The certificate comes in each form that firmware reads, is the same each time, and its key comes in none.
func TestBootCA(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	run := func(args ...string) (string, error) {
		var out, said bytes.Buffer
		err := Run(context.Background(), append([]string{"boot-ca", "--state", state}, args...), nil, &out, &said)
		return out.String(), err
	}
	if _, err := run(); err == nil || !strings.Contains(err.Error(), "--make") {
		t.Errorf("a state directory that is not there: %v", err)
	}
	text, err := run("--make")
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		t.Fatalf("it prints %q, want one certificate", text)
	}
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !cert.IsCA {
		t.Errorf("it prints no authority: %v, %v", cert, err)
	}
	for _, form := range []string{"der", "esl", "pem"} {
		file := filepath.Join(t.TempDir(), "out")
		if _, err := run("--form", form, "--out", file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]byte{"der": block.Bytes, "pem": []byte(text)}[form]
		if want == nil && !bytes.HasSuffix(b, block.Bytes) || want != nil && !bytes.Equal(b, want) {
			t.Errorf("%s: % x, want what was printed before", form, b)
		}
		if _, err := run("--form", form, "--out", file); err == nil ||
			!strings.Contains(err.Error(), "is there already") {
			t.Errorf("%s over a file: %v", form, err)
		}
	}
	for _, args := range [][]string{{"--form", "der"}, {"--form", "p12"}} {
		if _, err := run(args...); ExitCode(err) != exitUsage {
			t.Errorf("%v: %v, want that it is refused", args, err)
		}
	}
}
