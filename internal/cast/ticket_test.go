package cast

import (
	"net/netip"
	"strings"
	"testing"
)

func TestTicket(t *testing.T) {
	p := params(123456789)
	s := Ticket(p)
	if strings.ContainsAny(s, " \n\t'\"$") {
		t.Errorf("%q needs quoting", s)
	}
	got, err := ParseTicket(" " + s + "\n")
	if err != nil || got != p {
		t.Errorf("got %+v, %v, want %+v", got, err, p)
	}
	p.Group, p.Feedback = netip.MustParseAddrPort("[ff15::1]:5"), netip.MustParseAddrPort("[fd00::1]:6")
	if got, err := ParseTicket(Ticket(p)); err != nil || got != p {
		t.Errorf("got %+v, %v, want %+v", got, err, p)
	}
	for _, bad := range []string{"", "diskcast1.", "diskcast9." + s, s[:len(s)-1], strings.Replace(s, "A", "B", 1)} {
		if _, err := ParseTicket(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseTicket(f *testing.F) {
	f.Add(Ticket(params(5)))
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParseTicket(s); err == nil {
			if again, err := ParseTicket(Ticket(p)); err != nil || again != p {
				t.Errorf("%q does not come back", s)
			}
		}
	})
}
