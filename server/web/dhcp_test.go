package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"crypto/tls"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// fakeDHCP has one lease, until it is freed.
type fakeDHCP struct{ freed []string }

var _ DHCP = (*fakeDHCP)(nil)

func (f *fakeDHCP) View() doc.DHCP {
	return doc.DHCP{Mode: "full", Range: "10.0.0.100-10.0.0.101", Addresses: 2, Free: 1,
		Leases:   []doc.Lease{{Addr: "10.0.0.100", MAC: "52:54:00:00:00:01", State: doc.LeaseHeld}},
		Others:   []doc.DHCPServer{{Server: "10.0.0.2", Gives: "addresses"}},
		Warnings: []string{"Another DHCP server."}}
}

func (f *fakeDHCP) FreeLease(_ context.Context, what string) error {
	switch what {
	case "10.0.0.100", "52:54:00:00:00:01":
		f.freed = append(f.freed, what)
		return nil
	case "10.0.0.99":
		return errors.New("disk is full")
	}
	return fmt.Errorf("lease of %s: %w", what, store.ErrNotFound)
}

func TestDHCP(t *testing.T) {
	r := newRig(t)
	for _, m := range []string{"GET /v1/dhcp", "DELETE /v1/dhcp/leases/10.0.0.100"} {
		method, path, _ := strings.Cut(m, " ")
		if code, body, _ := r.call(method, path, r.id.Token, ""); code != 404 || !strings.Contains(body, "--dhcp off") {
			t.Errorf("%s without DHCP: %d %s", m, code, body)
		}
		if code, _, _ := r.call(method, path, "", ""); code != 401 {
			t.Errorf("%s without a token: %d", m, code)
		}
	}
	f := &fakeDHCP{}
	srv := httptest.NewUnstartedServer(New(r.e, blobs{}, nil, r.id.Token, slog.New(slog.DiscardHandler)).WithDHCP(f))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{r.id.Cert}}
	srv.StartTLS()
	defer srv.Close()
	c, err := client.New(srv.URL, client.Credentials{Token: r.id.Token, Pin: r.id.Pin})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.DHCP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f.View(), *v); d != "" {
		t.Error(d)
	}
	for what, want := range map[string]int{"10.0.0.100": 0, "52:54:00:00:00:01": 0, "10.0.0.7": 404, "10.0.0.99": 500,
		"a/b": 400, "nonsense": 400} {
		err := c.FreeLease(t.Context(), what)
		var status *client.StatusError
		if errors.As(err, &status); (err == nil) != (want == 0) || err != nil && status.Code != want {
			t.Errorf("free %s: %v, want %d", what, err, want)
		}
	}
	if len(f.freed) != 2 {
		t.Errorf("freed: %v", f.freed)
	}
}
