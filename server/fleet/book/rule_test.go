package book

import (
	"fmt"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// TestEveryMachine: a rule that keeps no machine out must say that it means all.
func TestEveryMachine(t *testing.T) {
	var bytes []string
	for i := range 256 {
		bytes = append(bytes, fmt.Sprintf("%02x", i))
	}
	for name, c := range map[string]struct {
		rule doc.Rule
		all  bool
	}{
		"nothing":          {doc.Rule{}, true},
		"vendor *":         {doc.Rule{Vendor: "*"}, true},
		"vendor **":        {doc.Rule{Vendor: "**", Serial: "*?"}, true},
		"vendor ?":         {doc.Rule{Vendor: "?"}, false},
		"vendor D*":        {doc.Rule{Vendor: "D*"}, false},
		"net /0":           {doc.Rule{Nets: []string{"0.0.0.0/0"}}, true},
		"net ::/0":         {doc.Rule{Nets: []string{"::/0"}}, true},
		"halves":           {doc.Rule{Nets: []string{"0.0.0.0/1", "10.0.0.0/8", "128.0.0.0/2", "192.0.0.0/2"}}, true},
		"not all halves":   {doc.Rule{Nets: []string{"0.0.0.0/1", "128.0.0.0/2"}}, false},
		"a net":            {doc.Rule{Nets: []string{"10.0.0.0/8"}}, false},
		"net /0, vendor D": {doc.Rule{Nets: []string{"0.0.0.0/0"}, Vendor: "D"}, false},
		"all first bytes":  {doc.Rule{MACs: bytes}, true},
		"some first bytes": {doc.Rule{MACs: bytes[:200]}, false},
	} {
		for _, says := range []bool{false, true} {
			r := c.rule
			r.Name, r.All = "x", says
			b := New(nil, nil, nil, nil)
			_, err := b.SetRule(r, Writer{})
			want := ""
			switch {
			case c.all && !says:
				want = "--all"
			case !c.all && says:
				want = "leave either away"
			}
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s, all %t: %v, want %q", name, says, err, want)
			}
			if err == nil && says && b.Fits(Claim{MAC: "52:54:00:00:00:01", Serial: "1"}) == "" && len(r.Nets) == 0 {
				t.Errorf("%s: it fits nobody", name)
			}
		}
	}
}
