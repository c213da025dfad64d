package web

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
)

// A server of an earlier version, or a forged state, may still hold what a terminal takes as a command: the client lets
// none of it through.
func TestClientCleansStrings(t *testing.T) {
	id, err := identity.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const bad = `x\u001b[2J\nforged  row\u202e`
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/nodes", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[{"id":"%s","trace":{"%s":{"message":"%s"}},`+
			`"inventory":{"product":"%s","disks":[{"model":"%s"}]}}]`, bad, bad, bad, bad, bad)
	})
	mux.HandleFunc("GET /v1/sessions/s1", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprintf(w, `{"v":1,"error":"%s"}`, bad)
	})
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"type":"session","session":{"id":"s1","state":"done","reason":"%s"}}`+"\n", bad)
	})
	srv := httptest.NewUnstartedServer(mux)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	defer srv.Close()
	c, err := client.New(srv.URL, client.Credentials{Token: id.Token, Pin: id.Pin})
	if err != nil {
		t.Fatal(err)
	}
	const clean = "x\ufffd[2J forged  row\ufffd"
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 1 {
		t.Fatal(nodes, err)
	}
	n := nodes[0]
	if n.ID != clean || n.Inventory.Product != clean || n.Inventory.Disks[0].Model != clean ||
		n.Trace[clean].Message != clean {
		t.Errorf("%+v", n)
	}
	var status *client.StatusError
	if _, err := c.Session(t.Context(), "s1"); !errors.As(err, &status) || status.Message != clean {
		t.Errorf("error %v", err)
	}
	err = c.Watch(t.Context(), "s1", func(l doc.Line) error {
		if l.Session.Reason != clean {
			t.Errorf("reason %q", l.Session.Reason)
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}
