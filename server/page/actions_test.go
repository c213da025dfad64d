package page

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// far is when nothing starts by itself.
var far = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)

// post sends a form as a page of ours would, and returns where it leads.
func (b *visitor) post(path string, form url.Values) string {
	b.t.Helper()
	form.Set("csrf", b.csrf("/"))
	code, body, h := b.do("POST", path, form)
	if code != http.StatusSeeOther {
		b.t.Fatalf("POST %s: %d\n%s", path, code, body)
	}
	return h.Get("Location")
}

// TestStart: a session is planned, and then is what the plan said; what was typed goes on from form to plan to session.
func TestStart(t *testing.T) {
	r := newRig(t, options{})
	r.store(t, "debian", 2)
	disks := []session.Disk{{Path: "/dev/vda", Size: 32 << 30, Serial: "D1"}}
	r.hello(t, 1, session.Inventory{Disks: disks})
	b := r.logged(t, access.Operator)
	if body := b.get("/start"); !strings.Contains(body, `value="image:debian"`) {
		t.Fatalf("the form does not offer the image:\n%s", body)
	}
	form := url.Values{"what": {"image:debian"}, "on": {"m1"}, "verify": {"yes"}, "notes": {"first floor"},
		"disk": {"largest"}, "min": {"1"}, "wait": {"2"}, "at": {"2099-01-02T03:04"}, "csrf": {b.csrf("/start")}}
	code, plan, _ := b.do("POST", "/start/plan", form)
	if code != http.StatusOK || !strings.Contains(plan, "largest") || !strings.Contains(plan, "/dev/vda") {
		t.Fatalf("plan: %d\n%s", code, plan)
	}
	harmlessPage(t, "/start/plan", plan)
	if n := len(r.e.Sessions()); n != 0 {
		t.Fatalf("the plan made %d sessions", n)
	}
	for _, f := range []string{"what", "on", "verify", "notes", "disk", "min", "wait", "at"} {
		if !strings.Contains(plan, `name="`+f+`" value="`+form.Get(f)+`"`) {
			t.Errorf("the plan does not carry %s on", f)
		}
	}
	to := b.post("/start", form)
	s := r.e.Sessions()[0]
	if to != "/sessions/"+s.ID || s.Spec.On != "m1" || s.Spec.MinNodes != 1 || s.Spec.MaxWait != 120 ||
		!s.Spec.Verify || !s.Spec.Target.Largest || s.Spec.Notes != "first floor" || s.Spec.At.Year() != 2099 {
		t.Errorf("to %s, %+v", to, s.Spec)
	}
	if body := b.get(to); !strings.Contains(body, s.ID+" is made") || strings.Contains(b.get(to), "is made") {
		t.Error("that it is made is said once")
	}
	for name, bad := range map[string]url.Values{
		"no image": {"on": {"m1"}}, "no machines": {"what": {"image:debian"}},
		"no such machine": {"what": {"image:debian"}, "on": {"none"}},
		"no number":       {"what": {"image:debian"}, "on": {"m1"}, "min": {"many"}},
		"no time":         {"what": {"image:debian"}, "on": {"m1"}, "at": {"soon"}},
		"no rule":         {"what": {"image:debian"}, "on": {"m1"}, "disk": {"all"}},
		"no profile":      {"what": {"profile:none"}, "on": {"m1"}},
		"another field":   {"what": {"erase:debian"}, "on": {"m1"}},
	} {
		for _, path := range []string{"/start", "/start/plan"} {
			bad.Set("csrf", form.Get("csrf"))
			code, body, _ := b.do("POST", path, bad)
			if code != http.StatusUnprocessableEntity || !strings.Contains(body, `role="alert"`) {
				t.Errorf("%s at %s: %d\n%s", name, path, code, body)
			}
		}
	}
	if n := len(r.e.Sessions()); n != 1 {
		t.Errorf("refused forms made %d sessions", n-1)
	}
}

// TestDeeds: a session is started, cancelled and done again, each asked for once more first.
func TestDeeds(t *testing.T) {
	r := newRig(t, options{})
	r.hello(t, 1, session.Inventory{})
	s, err := r.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{mac(1)}, MinNodes: 1, At: far})
	if err != nil {
		t.Fatal(err)
	}
	b, viewer := r.logged(t, access.Operator), r.logged(t, access.Viewer)
	state := func() string {
		now, err := r.e.Session(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return now.State
	}
	if body := viewer.get("/sessions/" + s.ID); strings.Contains(body, "/cancel") {
		t.Error("a viewer has a button")
	}
	for _, step := range []struct{ op, button, want string }{
		{"go", "Start with those who are here", doc.Casting}, {"cancel", "Cancel", doc.Cancelled},
	} {
		path := "/sessions/" + s.ID + "/" + step.op
		if body := b.get("/sessions/" + s.ID); !strings.Contains(body, path) || !strings.Contains(body, step.button) {
			t.Errorf("no button to %s:\n%s", step.op, body)
		}
		before := state()
		if body := b.get(path); !strings.Contains(body, `action="`+path+`"`) || state() != before {
			t.Errorf("%s is not asked for once more:\n%s", step.op, body)
		}
		if to := b.post(path, url.Values{}); to != "/sessions/"+s.ID || state() != step.want {
			t.Errorf("%s: to %s, %s, want %s", step.op, to, state(), step.want)
		}
	}
	if to := b.post("/sessions/"+s.ID+"/retry", url.Values{}); to != "/sessions/s2" {
		t.Errorf("retry leads to %s", to)
	}
	if body := b.get("/sessions/s2"); !strings.Contains(body, "Retry of") {
		t.Errorf("the retry does not name what it does again:\n%s", body)
	}
	code, body, _ := b.do("POST", "/sessions/"+s.ID+"/cancel", url.Values{"csrf": {b.csrf("/")}})
	if code == http.StatusInternalServerError || state() != doc.Cancelled {
		t.Errorf("a session that is over, cancelled: %d, %s\n%s", code, state(), body)
	}
	for _, path := range []string{"/sessions/s1/watch", "/sessions/none/cancel", "/machines/m1/power/bootonce"} {
		if code, _, _ := b.do("POST", path, url.Values{"csrf": {b.csrf("/")}}); code != http.StatusNotFound {
			t.Errorf("POST %s: %d", path, code)
		}
	}
}

// TestApprove: machines that came are approved one by one, and all that a list shows.
func TestApprove(t *testing.T) {
	r := newRig(t, options{approve: doc.ApproveHand})
	for n := range 5 {
		r.hello(t, n+1, session.Inventory{})
	}
	b := r.logged(t, access.Operator)
	approved := func() (n int) {
		for _, m := range r.e.Machines() {
			if m.Approved {
				n++
			}
		}
		return n
	}
	to := b.post("/approve", url.Values{"on": {"m2"}, "next": {"/machines/m2"}})
	if to != "/machines/m2" || approved() != 1 {
		t.Errorf("to %s, %d approved", to, approved())
	}
	body := b.get("/machines?show=approve")
	i := strings.Index(body, `name="on" value="`)
	if i < 0 {
		t.Fatalf("no button:\n%s", body)
	}
	on, _, _ := strings.Cut(body[i+len(`name="on" value="`):], `"`)
	to = b.post("/approve", url.Values{"on": {on}, "next": {"//evil.example"}})
	if to != "/" || approved() != 5 || !strings.Contains(b.get("/"), "4 machines are approved") {
		t.Errorf("to %s, %d approved by %q", to, approved(), on)
	}
}
