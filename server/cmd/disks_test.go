package cmd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

func TestSetDisks(t *testing.T) {
	two := doc.Spec{Image: "debian", Target: session.Target{Smallest: true, MinSize: 100 << 30},
		MoreDisks: []doc.DiskImage{{Image: "data:3", Target: session.Target{Serial: "S4X"}}}}
	for name, c := range map[string]struct {
		spec  doc.Spec
		flags []string
		want  doc.Spec
		err   string
	}{
		"a rule": {doc.Spec{Image: "a"}, []string{"serial=X"}, doc.Spec{Image: "a",
			Target: session.Target{Serial: "X"}}, ""},
		"of a profile": {doc.Spec{Profile: "a"}, []string{"serial=X"}, doc.Spec{Profile: "a",
			Target: session.Target{Serial: "X"}}, ""},
		"two": {doc.Spec{}, []string{"smallest,min=100G=debian", "serial=S4X=data:3"}, two, ""},
		"one with image": {doc.Spec{}, []string{"largest=debian"}, doc.Spec{Image: "debian",
			Target: session.Target{Largest: true}}, ""},
		"no image at all": {doc.Spec{}, []string{"serial=X"}, doc.Spec{Target: session.Target{Serial: "X"}}, ""},
		"image twice":     {doc.Spec{Image: "a"}, []string{"smallest=a", "largest=b"}, doc.Spec{}, "leave --image"},
		"one without":     {doc.Spec{}, []string{"smallest", "largest=b"}, doc.Spec{}, "each is RULE=IMAGE"},
		"no rule":         {doc.Spec{}, []string{"serial=a", "largest=b"}, doc.Spec{}, "--disk serial=a: with several"},
		"of a capture":    {doc.Spec{Capture: "a"}, []string{"smallest=a", "largest=b"}, doc.Spec{}, "leave --image"},
	} {
		err := setDisks(&c.spec, c.flags)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, c.spec); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got\n%s", name, err, diff)
		}
	}
}
