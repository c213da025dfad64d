// Package netlabtest gives a test a lab of package netlab.
package netlabtest

import (
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// New builds a lab of n nodes that is gone with the test, which is skipped where the lab, or one of the tools, cannot
// be had.
func New(t testing.TB, n int, tools ...string) *netlab.Lab {
	t.Helper()
	if why := netlab.Missing(tools...); why != "" {
		need.Skip(t, "network tests cannot run: %s", why)
	}
	l, err := netlab.New(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}
