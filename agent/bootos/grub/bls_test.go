package grub

import (
	"cmp"
	"testing"
)

// TestPackageOrder has the order of Red Hat's GRUB: NAME-VERSION-RELEASE by the rules that RPM had before ^. What is in
// one row has the same rank.
func TestPackageOrder(t *testing.T) {
	older := [][]string{
		{"a"}, {"a-0-rescue"}, {"a-5.14.0"}, {"a-5.14.0-427.9.1.el9"}, {"a-5.14.0-427.13.1.el9"}, {"a-6.1.0~rc1-1"},
		{"a-6.1.0-1"},
		{"a-6.1.0.git-1", "a-6.1.0+git-1"}, {"a-6.1.0.1-1", "a-6.1.0^1-1", "a-6.1.0+1-1"},
		{"a-6.1.0.2-1", "a-6.1.0^2-1"}, {"a-6.9.0"}, {"a-6.9.0-1"}, {"a-6.9.12-200.fc40"},
		{"a-6.10.3-200.fc40"}, {"a-6.10.3-200.fc40.x", "a-6.10.3-200.fc40+x"}, {"b-0-rescue"},
	}
	newer := [][]string{
		{"a-6.1.0-1"}, {"a-6.1.0+git-1"}, {"a-6.1.0+1-1"}, {"a-6.1.0.git-1"}, {"a-6.1.0.1-1", "a-6.1.0^1-1"},
		{"a-6.1.1-1"}, {"b-1.x86_64"}, {"b-1.x86_64+debug"}, {"b-1.x86_64.debug"},
	}
	for _, ascending := range [][][]string{older, newer} {
		plus := len(ascending) == len(newer)
		for i, as := range ascending {
			for j, bs := range ascending {
				for _, a := range as {
					for _, b := range bs {
						if got, want := comparePackages(a, b, plus), cmp.Compare(i, j); got != want {
							t.Errorf("%q, %q: %d, want %d (plus counts: %v)", a, b, got, want, plus)
						}
					}
				}
			}
		}
	}
}

// TestBLSValue has what GRUBs make of variables in a value: older ones, and those that put a blank behind each. "-" is
// nothing at all.
func TestBLSValue(t *testing.T) {
	s := newShell(&fakeFiles{}, Options{})
	for name, value := range map[string]string{"kernelopts": "ro quiet ", "noblank": "ro", "empty": "", "k": "short"} {
		if err := s.set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ value, older, newer string }{
		{"", "-", "-"},
		{"root=/dev/sda1 ro", "root=/dev/sda1 ro", "root=/dev/sda1 ro"},
		{"a", "-", "-"},
		{"$kernelopts", "ro quiet ", "ro quiet  "},
		{"$unset", "-", "-"},
		{"$empty", "", " "},
		{"$kernelopts $unset", "ro quiet ", "ro quiet  "},
		{"$unset $kernelopts", "ro quiet ", "ro quiet  "},
		{"$unset$kernelopts", "-", "-"},
		{"$unset $unset", "-", ""},
		{"$unset quiet", " quiet", "quiet"},
		{"$noblank $kernelopts", "roro quiet ", "ro ro quiet  "},
		{"$noblank quiet", "ro quiet", "ro quiet"},
		{"root=x $k $noblank", "root=x shortro", "root=x short ro "},
		{"root=x $k", "root=x ", "root=x "},
		{"root=x $", "root=x ", "root=x "},
		{"cost=$5", "cost=", "cost="},
	} {
		for _, blanks := range []bool{false, true} {
			got, is := s.blsValue(tt.value, blanks)
			if !is {
				got = "-"
			}
			if want := map[bool]string{false: tt.older, true: tt.newer}[blanks]; got != want {
				t.Errorf("%q: %q, want %q (blanks: %v)", tt.value, got, want, blanks)
			}
		}
	}
}
