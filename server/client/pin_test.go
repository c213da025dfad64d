package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
)

// expired is a certificate for another name that ended long ago, by an authority that ended too.
func expired(t *testing.T) tls.Certificate {
	t.Helper()
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: old, NotAfter: old.AddDate(1, 0, 0), IsCA: true,
		BasicConstraintsValid: true}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: old, NotAfter: old.AddDate(1, 0, 0),
		DNSNames: []string{"elsewhere.example"}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &keys[1].PublicKey, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: keys[1]}
}

// TestAnotherKey: of a server with another key it is said that the key is another one, and it is not asked again and
// again; dates and names of a certificate mean nothing where its key is the one.
func TestAnotherKey(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("[]"))
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{expired(t)}}
	srv.StartTLS()
	defer srv.Close()
	shown, err := client.PinAt(t.Context(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	with := func(pin string) *client.Client {
		c, err := client.New(srv.URL, client.Credentials{Token: "x", Pin: pin})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := with(shown).Sessions(t.Context()); err != nil {
		t.Errorf("the key is the one, and its certificate has ended: %v", err)
	}
	confirmed := "sha256:" + strings.Repeat("ab", 32)
	_, err = with(confirmed).Sessions(t.Context())
	for _, want := range []string{"another", shown, confirmed, "`diskcast login " + srv.URL + "`", "another server"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	if pin := (*identity.PinError)(nil); !errors.As(err, &pin) || strings.Contains(err.Error(), "not answer") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	broken := 0
	err = with(confirmed).Follow(ctx, client.Filter{}, func(doc.Line) error { return nil },
		func(error) { broken++ })
	if err == nil || !strings.Contains(err.Error(), shown) || broken > 0 {
		t.Errorf("following it: %v, asked again %d times", err, broken)
	}
}

// TestNoTLS: what answers and speaks no TLS is no server, which is said.
func TestNoTLS(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	c, err := client.New("https://"+strings.TrimPrefix(srv.URL, "http://"), client.Credentials{Token: "x", Pin: "y"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Sessions(t.Context()); err == nil || !strings.Contains(err.Error(), "speaks no TLS") {
		t.Errorf("%v", err)
	}
}
