package access

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// TestPeople come in until their time is over, they are dismissed or an administrator ends them, and are nobody's
// tokens.
func TestPeople(t *testing.T) {
	db := store.NewMemory()
	b, err := New(t.Context(), db, root)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	b.now = func() time.Time { return now }
	ada := Holder{Name: PersonPrefix + "ada@example.org", Role: Operator, Within: "room=210"}
	one, two := b.Admit(ada, now.Add(time.Hour)), b.Admit(ada, now.Add(2*time.Hour))
	if h, ok := b.Who(one); !ok || h != ada {
		t.Errorf("got %+v %v", h, ok)
	}
	if l := b.List(); len(l) != 1 || l[0].Name != ada.Name || l[0].On != "room=210" || l[0].Role != Operator {
		t.Errorf("listed as %+v", l)
	}
	if _, err := b.Link(ada.Name, doc.LoginLinkSpec{V: 1, Minutes: 10}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a link that logs in as a person: %v", err)
	}
	now = now.Add(time.Hour)
	if _, ok := b.Who(one); ok {
		t.Error("a login does not end")
	}
	if _, ok := b.Until(SumOf(one)); ok {
		t.Error("a login that is over has an end to come")
	}
	b.Dismiss(SumOf(two))
	if _, ok := b.Who(two); ok || len(b.List()) != 0 {
		t.Error("who is dismissed is in")
	}
	one, two = b.Admit(ada, now.Add(time.Hour)), b.Admit(Holder{Name: "oidc:eve", Role: Viewer}, now.Add(time.Hour))
	if err := b.Remove(t.Context(), ada.Name); err != nil {
		t.Error(err)
	}
	if _, ok := b.Who(one); ok {
		t.Error("who was ended is in")
	}
	if _, ok := b.Who(two); !ok {
		t.Error("another one was ended, too")
	}
	if err := b.Remove(t.Context(), ada.Name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("once more: %v", err)
	}
	if _, err := b.Create(t.Context(), spec(ada.Name, Viewer, 1)); !errors.Is(err, ErrSpec) {
		t.Errorf("a token in a person's name: %v", err)
	}
	if b, err = New(t.Context(), db, root); err != nil || len(b.List()) != 0 {
		t.Errorf("the next server knows %+v, %v", b.List(), err)
	}
}

// TestLoginWithLess: what the provider says last of a person holds for earlier logins, and the list hides no login that
// may more.
func TestLoginWithLess(t *testing.T) {
	admin, all, room := Holder{"oidc:bob", Admin, ""}, Holder{"oidc:bob", Operator, ""},
		Holder{"oidc:bob", Operator, "room=210"}
	for name, x := range map[string]struct {
		was, is Holder
		stays   bool
	}{
		"a smaller role":       {admin, all, false},
		"fewer machines":       {all, room, false},
		"other machines":       {room, Holder{"oidc:bob", Operator, "room=211"}, false},
		"another role, a room": {admin, room, false},
		"the same":             {room, room, true},
		"more machines":        {room, all, true},
		"a larger role":        {all, admin, true},
		"somebody else":        {Holder{"oidc:ann", Admin, ""}, room, true},
	} {
		b := Only(root)
		now := time.Now()
		login, own := b.Login(x.was, now.Add(2*time.Hour)), b.Admit(x.was, now.Add(2*time.Hour))
		b.Login(x.is, now.Add(time.Hour))
		for _, secret := range []string{login, own} {
			if _, ok := b.Who(secret); ok != x.stays {
				t.Errorf("%s: it is in: %v, want %v", name, ok, x.stays)
			}
		}
		for _, l := range b.List() {
			if l.Name == x.is.Name && (l.Role != x.is.Role || l.On != x.is.Within) {
				t.Errorf("%s: listed as %+v", name, l)
			}
		}
	}
}

// TestManyPeople: one person's logins push out his own, and thousands of people keep no token out.
func TestManyPeople(t *testing.T) {
	b := Only(root)
	now := time.Now()
	eve := b.Admit(Holder{Name: "oidc:eve", Role: Viewer}, now.Add(time.Hour))
	var mine []string
	for i := range maxOf + 1 {
		mine = append(mine, b.Admit(Holder{Name: "oidc:ada", Role: Viewer}, now.Add(time.Hour+time.Duration(i))))
	}
	if _, ok := b.Who(mine[0]); ok || len(b.people) != maxOf+1 {
		t.Errorf("%d logins are kept", len(b.people))
	}
	for _, secret := range append(mine[1:], eve) {
		if _, ok := b.Who(secret); !ok {
			t.Error("another than the first to end is out")
		}
	}
	for i := len(b.people); i < maxEntries; i++ {
		b.people[SumOf(fmt.Sprint(i))] = entry{Holder{Name: fmt.Sprint("oidc:", i)}, now, now.Add(2 * time.Hour)}
	}
	last := b.Admit(Holder{Name: "oidc:last", Role: Viewer}, now.Add(time.Hour))
	if _, ok := b.Who(last); !ok || len(b.people) != maxEntries {
		t.Errorf("%d logins are kept, the last is in: %v", len(b.people), ok)
	}
	if b.count() != 0 {
		t.Error("people count as tokens")
	}
}
