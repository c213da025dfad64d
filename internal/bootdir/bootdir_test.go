package bootdir

import "testing"

func TestAdded(t *testing.T) {
	for _, c := range []struct {
		name, cmdline, want string
		ok                  bool
	}{
		{"nothing", "console=tty0 " + Words, "", true},
		{"words", "console=tty0 console=ttyS0 " + Words + " a=1 b", "a=1 b", true},
		{"words of a release before", "console=tty0 panic=60 quiet mitigations=off a=1", "a=1", true},
		{"another release's", "console=tty0 panic=10 quiet a=1", "", false},
		{"words before ours", "a=1 " + Words, "", false},
	} {
		if got, ok := (&Manifest{Cmdline: c.cmdline}).Added(); got != c.want || ok != c.ok {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}
