package web

import (
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/access"
)

// TestPeople who are logged in by a provider have their names in the record of changes, may what their role says, are
// listed, and can be ended by name.
func TestPeople(t *testing.T) {
	r := newRig(t)
	r.hello("52:54:00:00:00:01", "b1")
	ada := access.Holder{Name: access.PersonPrefix + "ada@example.org", Role: access.Operator}
	secret := r.book.Admit(ada, time.Now().Add(time.Hour))
	_, before := r.recorded(0)
	if code, text, _ := r.call("PATCH", "/v1/machines/m1", secret, `{"v":1,"name":"lab-1"}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	got, _ := r.recorded(before)
	if len(got) != 2 || got[0].Who != "oidc:ada@example.org" || got[0].Role != access.Operator {
		t.Errorf("recorded as %+v", got)
	}
	code, text, _ := r.call("GET", "/v1/tokens", secret, "")
	if code != 403 || !strings.Contains(text, "oidc:ada@example.org has the role operator") {
		t.Errorf("an operator lists tokens: %d %s", code, text)
	}
	if code, text, _ := r.call("GET", "/v1/tokens", r.id.Token, ""); code != 200 ||
		!strings.Contains(text, `"oidc:ada@example.org"`) || strings.Contains(text, secret) {
		t.Errorf("%d %s", code, text)
	}
	if code, text, _ := r.call("DELETE", "/v1/tokens/oidc:ada@example.org", r.id.Token, ""); code != 204 {
		t.Errorf("%d %s", code, text)
	}
	if code, _, _ := r.call("GET", "/v1/machines", secret, ""); code != 401 {
		t.Errorf("who was ended reads: %d", code)
	}
	if code, _, _ := r.call("DELETE", "/v1/tokens/oidc:ada@example.org", r.id.Token, ""); code != 404 {
		t.Errorf("once more: %d", code)
	}
}
