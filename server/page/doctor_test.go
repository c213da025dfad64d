package page

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
)

// TestDoctor: an operator has the server look, and sees what it found, the worst first, what it did not look at, and
// when that was; a viewer sees nothing of it.
func TestDoctor(t *testing.T) {
	r := newRig(t, options{})
	hold := make(chan struct{})
	r.finds = func() *doctor.Report { <-hold; return sick() }
	b, viewer := r.logged(t, access.Operator), r.logged(t, access.Viewer)
	if strings.Contains(viewer.get("/"), `href="/doctor"`) {
		t.Error("a viewer is led to the findings")
	}
	for _, method := range []string{"GET", "POST"} {
		form := url.Values{"csrf": {viewer.csrf("/")}}
		if method == "GET" {
			form = nil
		}
		if code, _, _ := viewer.do(method, "/doctor", form); code != http.StatusForbidden {
			t.Errorf("%s /doctor of a viewer: %d", method, code)
		}
	}
	if body := b.get("/doctor"); !strings.Contains(body, "has not looked at itself") ||
		strings.Contains(body, "Nothing was found") {
		t.Errorf("before any look:\n%s", body)
	}
	if to := b.post("/doctor", url.Values{}); to != "/doctor" {
		t.Errorf("the button leads to %s", to)
	}
	if body := b.get("/doctor"); !strings.Contains(body, "The server looks since") ||
		!strings.Contains(body, "a-operator") {
		t.Errorf("while it looks:\n%s", body)
	}
	close(hold)
	if v := r.rounds.Wait(t.Context(), 1); v.State != doc.DoctorLooked {
		t.Fatalf("%+v", v)
	}
	body := b.get("/doctor")
	harmlessPage(t, "/doctor", body)
	at := -1
	for _, want := range []string{"2 findings", "another DHCP server", "keeps work from being done", doctor.DHCPSecond,
		"one address to two machines", "stop the other one", "nodes are given Linux", "to be known", "Not looked at",
		"as root", "As it should be", "the MTU of eth1"} {
		i := strings.Index(body, want)
		if i < at {
			t.Errorf("%q is not there, or too early", want)
		}
		at = max(at, i)
	}
	if t.Failed() {
		t.Log(body)
	}
	for who, want := range map[*visitor]bool{b: true, viewer: false} {
		body := who.get("/")
		if strings.Contains(body, "another DHCP server") != want || strings.Contains(body, "nodes are given Linux") {
			t.Errorf("the overview, which is to have what stops work: %v\n%s", want, body)
		}
	}
	b.post("/doctor", url.Values{})
	if body := b.get("/doctor"); !strings.Contains(body, "has just looked") {
		t.Errorf("asked again at once:\n%s", body)
	}
}
