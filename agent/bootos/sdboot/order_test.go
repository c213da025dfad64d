package sdboot

import (
	"errors"
	"os/exec"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// versions are what kernels, distributions and specifications have.
var versions = []string{
	"", "0", "00", "1", "01", "1.1", "1.a", "1-a", "1-", "1^", "1^2", "1~", "1~~", "1~rc1", "1~rc1-1", "1.0", "1-1",
	"1-2", "1.1-1", "a", "A", "ab", "abc", "1a", "1_2", "1+2",
	"6.9", "6.10", "6.10~rc7", "6.10.0-rc7", "6.1.0-28-amd64", "6.1.0-9-amd64", "5.14.0-427.el9.x86_64",
	"5.14.0-70.el9.x86_64", "122.1", "123~rc1-1", "123", "123-a", "123-a.1",
	"123-a1", "123-a1.1", "123-3", "123-3.1", "123^patch1", "123^1", "123.a-1", "123a-1", "124", "debian-6.1.conf",
	"debian-6.10.conf", "000000000000000000000000000001", "99999999999999999999",
}

// TestCompareVersions has systemd-analyze judge the order of pairs; every version is once on each side.
func TestCompareVersions(t *testing.T) {
	tool := need.Tool(t, "systemd-analyze")
	for i, a := range versions {
		for _, step := range []int{1, 7} {
			b := versions[(i+step)%len(versions)]
			want := 0
			var exit *exec.ExitError
			switch err := exec.Command(tool, "compare-versions", a, b).Run(); {
			case err == nil:
			case errors.As(err, &exit) && exit.ExitCode() == 11:
				want = 1
			case errors.As(err, &exit) && exit.ExitCode() == 12:
				want = -1
			default:
				t.Fatal(err)
			}
			if got := CompareVersions(a, b); got != want {
				t.Errorf("%q and %q: %d, systemd says %d", a, b, got, want)
			}
		}
	}
}

// FuzzCompareVersions: an order is the same from both sides, and a version is equal to itself.
func FuzzCompareVersions(f *testing.F) {
	for i, a := range versions {
		f.Add(a, versions[(i+1)%len(versions)])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ab := CompareVersions(a, b)
		if ab != -CompareVersions(b, a) || CompareVersions(a, a) != 0 {
			t.Errorf("%q and %q are in no order", a, b)
		}
	})
}

// fuzzFiles is a partition with the same entry under two names.
type fuzzFiles struct{ name, entry, conf, osrel string }

func (f fuzzFiles) ReadFile(_ int, path string, _ int64) ([]byte, error) {
	if path == "/loader/loader.conf" {
		return []byte(f.conf), nil
	}
	return []byte(f.entry), nil
}
func (f fuzzFiles) Exists(int, string, bool) bool { return true }
func (f fuzzFiles) List(_ int, path string) ([]string, error) {
	return []string{f.name, "a.conf", "b+3-1.efi"}, nil
}
func (f fuzzFiles) OSRelease(int, string) string { return f.osrel }

func FuzzDefault(f *testing.F) {
	f.Add("x+3-1.conf", "title x\nlinux /k\ninitrd /i\noptions a\n", "default x*\n", "ID=a\nNAME=b\n")
	f.Add("x.efi", "efi /k\narchitecture x64\n", "default [a-\npreferred *", "")
	f.Fuzz(func(t *testing.T, name, entry, conf, osrel string) {
		e, err := Default(fuzzFiles{name, entry, conf, osrel}, Options{ESP: 1, Others: []int{2}, Arch: "x64"})
		if err == nil && e.Kernel == "" {
			t.Errorf("an entry without a kernel: %+v", e)
		}
	})
}
