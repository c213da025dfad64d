package page

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
)

var onceField = regexp.MustCompile(`name="once" value="([^"]+)"`)

// TestPressedTwice presses Start many times at once, as a hurried operator does: one session is made, and all presses
// lead to it. A form that was refused may be sent again, and the next plan is another form.
func TestPressedTwice(t *testing.T) {
	r := newRig(t, options{})
	r.store(t, "debian", 2)
	r.hello(t, 1, session.Inventory{Disks: []session.Disk{{Path: "/dev/vda", Size: 32 << 30, Serial: "D1"}}})
	b := r.logged(t, access.Operator)
	form := url.Values{"what": {"image:debian"}, "on": {"m1"}, "csrf": {b.csrf("/start")}}
	plan := func() string {
		t.Helper()
		code, text, _ := b.do("POST", "/start/plan", form)
		m := onceField.FindStringSubmatch(text)
		if code != http.StatusOK || m == nil {
			t.Fatalf("the plan has no word of its form: %d\n%s", code, text)
		}
		return m[1]
	}
	press := func(path string, form url.Values, times int) map[string]int {
		t.Helper()
		var all sync.WaitGroup
		var mu sync.Mutex
		to := map[string]int{}
		for range times {
			all.Go(func() {
				code, _, h := b.do("POST", path, form)
				mu.Lock()
				defer mu.Unlock()
				if to[h.Get("Location")]++; code != http.StatusSeeOther {
					t.Errorf("%s: %d", path, code)
				}
			})
		}
		all.Wait()
		return to
	}
	form.Set("once", plan())
	to := press("/start", form, 20)
	all := r.e.Sessions()
	if len(all) != 1 || to["/sessions/"+all[0].ID] != 20 {
		t.Fatalf("20 presses made %d sessions, and led to %v", len(all), to)
	}
	id := all[0].ID
	if n := strings.Count(b.get("/sessions/"+id), id+" is made"); n != 1 {
		t.Errorf("that it is made is said %d times", n)
	}

	b.post("/sessions/"+id+"/cancel", url.Values{"csrf": form["csrf"]})
	m := onceField.FindStringSubmatch(b.get("/sessions/" + id + "/retry"))
	if m == nil {
		t.Fatal("the question has no word of its form")
	}
	to = press("/sessions/"+id+"/retry", url.Values{"csrf": form["csrf"], "once": m[1:]}, 20)
	if all = r.e.Sessions(); len(all) != 2 || to["/sessions/"+all[1].ID] != 20 {
		t.Errorf("20 retries made %d sessions, and led to %v", len(all)-1, to)
	}
	b.post("/sessions/"+all[1].ID+"/cancel", url.Values{"csrf": form["csrf"]})

	bad := url.Values{"what": {"image:none"}, "on": {"m1"}, "csrf": form["csrf"], "once": {plan()}}
	for range 2 {
		if code, _, _ := b.do("POST", "/start", bad); code != http.StatusUnprocessableEntity {
			t.Errorf("a refused form: %d", code)
		}
	}
	bad.Set("what", "image:debian")
	if to := b.post("/start", bad); to == "" || len(r.e.Sessions()) != 3 {
		t.Errorf("after it was refused: to %q, %d sessions", to, len(r.e.Sessions()))
	}
	bad.Set("once", strings.Repeat("x", 65))
	if code, _, _ := b.do("POST", "/start", bad); code != http.StatusBadRequest {
		t.Errorf("a word that is too long: %d", code)
	}
	e, _ := r.page.visits.of(requestWith(t, b))
	for range 10 * maxDeeds {
		d, _ := r.page.visits.deed(e, onceWord())
		r.page.visits.did(e, "", d, "/x")
	}
	if len(e.deeds) > maxDeeds || len(e.words) > maxDeeds {
		t.Errorf("%d forms are remembered", len(e.deeds))
	}
}

// requestWith is a request with the browser's cookies.
func requestWith(t *testing.T, b *visitor) *http.Request {
	t.Helper()
	req, err := http.NewRequest("GET", b.r.srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	return req
}
