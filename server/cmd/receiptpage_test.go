package cmd

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/identity"
)

// TestReceiptPage: a session's receipts are a page, printed by the command and sent by the server.
func TestReceiptPage(t *testing.T) {
	o := newOffice(t)
	if code, _, said := o.run("receipt", "page", "s1"); code != exitFailed || !strings.Contains(said, "no receipts") {
		t.Errorf("%d %s", code, said)
	}
	if code, _, said := o.run("receipt", "page", "s1", "--json"); code != exitUsage ||
		!strings.Contains(said, "is HTML") {
		t.Errorf("%d %s", code, said)
	}
	if code, _, said := o.run("session", "create", "--image", "debian", "--nodes", o.node); code != 0 {
		t.Fatal(said)
	}
	o.restored("s1", session.Info, session.Info)
	id, err := identity.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	get := func(session string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", o.url+"/v1/receipts/page?session="+session, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+id.Token)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: identity.PinnedTLS(id.Pin)}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if kind := resp.Header.Get("Content-Type"); resp.StatusCode == 200 && kind != "text/html; charset=utf-8" {
			t.Error(kind)
		}
		return resp.StatusCode, string(b)
	}
	code, page, said := o.run("receipt", "page", "s1")
	for _, want := range []string{"Everything was done, and every signature holds",
		"1 of 1 signatures hold, by the key",
		id.Pin, "image debian", "machine m1", "restore: restore", "at lab"} {
		if code != 0 || !strings.Contains(page, want) {
			t.Errorf("%q is not in the page: %d %s", want, code, said)
		}
	}
	if code, sent := get("s1"); code != 200 || sent != page {
		t.Errorf("the server sends another page: %d %s", code, sent)
	}
	if code, _ := get("s2"); code != 404 {
		t.Errorf("of a session that there is not: %d", code)
	}
	t.Setenv("DISKCAST_PIN", "sha256:00")
	t.Setenv("DISKCAST_TOKEN", id.Token)
	if code, _, said := o.run("receipt", "page", "s1"); code != exitFailed {
		t.Errorf("with another pin: %d %s", code, said)
	}
}
