package page

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// counting is an API that counts who asks for lists.
type counting struct {
	API
	machines atomic.Int64
}

func (c *counting) As(h access.Holder) http.Handler {
	next := c.API.As(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/machines" {
			c.machines.Add(1)
		}
		next.ServeHTTP(w, r)
	})
}

// TestPollsShare has many pages look again: the list is made once a second for all who may see the same machines, and
// never for somebody who may not. A page that is loaded has what is.
func TestPollsShare(t *testing.T) {
	r := newRig(t, options{})
	c := &counting{API: r.page.API}
	r.page.API = c
	now := time.Now()
	r.page.polls.now = func() time.Time { return now }
	for n := range 3 {
		r.hello(t, n+1, session.Inventory{})
	}
	held, err := r.book.Create(t.Context(), doc.TokenSpec{V: 1, Name: "held", Role: access.Viewer, On: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	r.tokens["held"] = held.Secret
	viewer, other, within := r.logged(t, access.Viewer), r.logged(t, access.Operator), r.logged(t, "held")
	poll := func(b *visitor) string {
		t.Helper()
		code, body, _ := b.do("GET", "/machines", nil, "HX-Request", "true")
		if code != http.StatusOK {
			t.Fatalf("%d\n%s", code, body)
		}
		return body
	}
	asked := func() int64 { return c.machines.Swap(0) }
	asked()
	for range 10 {
		for _, b := range []*visitor{viewer, other} {
			if body := poll(b); !strings.Contains(body, "/machines/m3") {
				t.Fatalf("m3 is not there:\n%s", body)
			}
		}
	}
	if n := asked(); n != 1 {
		t.Errorf("20 polls within a second asked %d times", n)
	}
	if body := poll(within); strings.Contains(body, "/machines/m3") || !strings.Contains(body, "/machines/m1") {
		t.Errorf("who is held to m1 sees:\n%s", body)
	}
	if n := asked(); n != 1 {
		t.Errorf("who is held to machines asked %d times", n)
	}
	r.hello(t, 4, session.Inventory{})
	if body := viewer.get("/machines"); !strings.Contains(body, "/machines/m4") {
		t.Error("a page that is loaded is old")
	}
	asked()
	now = now.Add(pollFor)
	if body := poll(viewer); !strings.Contains(body, "/machines/m4") || asked() != 1 {
		t.Error("a second later the list is old")
	}
	now = now.Add(-time.Hour) // the clock is set back
	if poll(viewer); asked() != 1 {
		t.Error("the list of another time is shown")
	}
	for i := range 10 * maxPolls {
		r.page.polls.of(strings.Repeat("x", i))
	}
	if n := len(r.page.polls.by); n > maxPolls {
		t.Errorf("%d lists are kept", n)
	}
}
