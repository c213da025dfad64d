package sdboot

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// TestRulesOf: at the edges, and where the version is not known, there is more than one way.
func TestRulesOf(t *testing.T) {
	for version, want := range map[int]string{
		0: "[{false true true false false false} {false true true false false true} " +
			"{false false true false false false} {false false true false false true}]",
		239: "[{true true false true false false}]",
		244: "[{true true false true false false} {false true false true false false}]",
		247: "[{false true false true false false}]",
		250: "[{false true false false true false} {false true true false true false}]",
		251: "[{false true false false false false} {false true true false false false}]",
		252: "[{false true true false false false}]", 257: "[{false true true false false false} " +
			"{false false true false false false}]",
		258: "[{false true true false false true} {false false true false false true}]",
		259: "[{false false true false false true}]",
	} {
		if got := fmt.Sprint(rulesOf(version)); got != want {
			t.Errorf("%d: %s, want %s", version, got, want)
		}
	}
}

// manyFiles is a partition with as many entries as there may be, with long names.
type manyFiles struct{ conf string }

func (manyFiles) Exists(int, string, bool) bool { return true }
func (manyFiles) OSRelease(int, string) string  { return "" }
func (f manyFiles) ReadFile(_ int, path string, _ int64) ([]byte, error) {
	if path == "/loader/loader.conf" {
		return []byte(f.conf), nil
	}
	return []byte("linux /k\n"), nil
}
func (manyFiles) List(_ int, dir string) ([]string, error) {
	if dir != "/loader/entries" {
		return nil, nil
	}
	var names []string
	for i := range maxEntries {
		names = append(names, fmt.Sprintf("%s%04d.conf", strings.Repeat("a", 240), i))
	}
	return names, nil
}

// TestLongPatterns: what is held against the names of all entries is bounded, and within the bound it does not take
// long.
func TestLongPatterns(t *testing.T) {
	stars := strings.Repeat("*a", maxPattern/2-1)
	start := time.Now()
	if e, err := Default(manyFiles{"default " + stars + "b\n"}, Options{ESP: 1, Version: 258}); err != nil || e == nil {
		t.Fatalf("%v, %v", e, err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("it took %v", d)
	}
	var restart *grub.Restart
	if _, err := Default(manyFiles{"default " + stars + "bbb\n"}, Options{ESP: 1}); !errors.As(err, &restart) ||
		!strings.Contains(err.Error(), "more than an entry's name") {
		t.Errorf("a pattern above the bound: %v", err)
	}
}
