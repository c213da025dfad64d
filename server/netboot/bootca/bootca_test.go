package bootca

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

var addr = netip.MustParseAddr("10.0.0.1")

// The authority stays the same, and what it signs is believed by openssl for the server's address and no other, by a
// clock that is right and by one that was never set.
func TestOpenSSLBelieves(t *testing.T) {
	need.Tools(t, "openssl")
	dir := t.TempDir()
	a, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil || !bytes.Equal(again.DER(), a.DER()) {
		t.Fatalf("read again it is another authority, or %v", err)
	}
	if st, err := os.Stat(filepath.Join(dir, File)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file with the key: %v, %v; want mode 0600", st, err)
	}
	conf, err := a.TLS(addr)
	if err != nil {
		t.Fatal(err)
	}
	ca, leaf := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "leaf.der")
	for name, b := range map[string][]byte{ca: a.PEM(), leaf: conf.Certificates[0].Certificate[0]} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		args []string
		good bool
	}{
		{"now", []string{"-verify_ip", "10.0.0.1"}, true},
		{"a clock at its beginning", []string{"-verify_ip", "10.0.0.1", "-attime", "946684800"}, true},
		{"another address", []string{"-verify_ip", "10.0.0.2"}, false},
	} {
		args := append([]string{"verify", "-x509_strict", "-CAfile", ca, "-purpose", "sslserver"}, c.args...)
		out, err := exec.Command("openssl", append(args, leaf)...).CombinedOutput()
		if c.name == "now" && err == nil && !strings.Contains(string(out), "OK") || (err == nil) != c.good {
			t.Errorf("%s: openssl says %q, %v; want good: %v", c.name, out, err, c.good)
		}
	}
}

// Old firmware has no elliptic curves: a client with RSA's key exchange alone must be served.
func TestOldFirmware(t *testing.T) {
	need.Tools(t, "openssl")
	dir := t.TempDir()
	a, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := a.TLS(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake(); c.Close() }()
		}
	}()
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for cipher, good := range map[string]bool{"AES256-GCM-SHA384": true, "AES128-GCM-SHA256": true,
		"ECDHE-RSA-AES128-GCM-SHA256": true, "AES128-SHA": false} {
		out, err := exec.Command("openssl", "s_client", "-connect", ln.Addr().String(), "-tls1_2", "-cipher", cipher,
			"-CAfile", ca, "-verify_return_error", "-verify_ip", "127.0.0.1").CombinedOutput()
		if (err == nil) != good {
			t.Errorf("with %s: %v, want good: %v\n%s", cipher, err, good, out)
		}
	}
}

func TestSignatureList(t *testing.T) {
	a, err := Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := a.SignatureList()
	le := binary.LittleEndian
	if int(le.Uint32(b[16:])) != len(b) || le.Uint32(b[20:]) != 0 || int(le.Uint32(b[24:])) != len(b)-28 {
		t.Errorf("sizes in the header: % x, of %d bytes", b[16:28], len(b))
	}
	if !bytes.Equal(b[28+16:], a.DER()) {
		t.Error("the list does not end with the certificate")
	}
}

func TestDamaged(t *testing.T) {
	for name, b := range map[string]string{"empty": "", "no key": "-----BEGIN CERTIFICATE-----\nAA==\n" +
		"-----END CERTIFICATE-----\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%s: %v, want that it is damaged", name, err)
		}
	}
}

// The certificates of a server and of its authority hold for Go too, by name of the address.
func TestPool(t *testing.T) {
	a, err := Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	conf, err := a.TLS(addr)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go func() { _ = tls.Server(theirs, conf).Handshake() }() // ends with the pipe
	_ = ours.SetDeadline(time.Now().Add(10 * time.Second))
	if err := tls.Client(ours, &tls.Config{RootCAs: a.Pool(), ServerName: addr.String()}).Handshake(); err != nil {
		t.Error(err)
	}
}
