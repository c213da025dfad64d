// Package need says what a test wants of the machine it runs on. Where that is missing the test is skipped and says
// why; on CI, whose machine is meant to have everything (.ci/packages), it fails.
package need

import (
	"os"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/toolpath"
)

// CI says whether the environment is that of a CI, as they all set it: CI=true.
func CI() bool {
	v := os.Getenv("CI")
	return v != "" && v != "false"
}

// Skip skips the test for a reason of this machine, or fails it on CI.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if CI() {
		t.Fatalf("CI must not skip: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Root wants the test to be run by root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "it needs root")
	}
}

// Tools wants all the programs to be installed.
func Tools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		Tool(t, name)
	}
}

// Tool wants a program to be installed and returns where.
func Tool(t testing.TB, name string) (path string) {
	t.Helper()
	path, ok := toolpath.Find(name)
	if !ok {
		Skip(t, "%s is not installed: see .ci/packages", name)
	}
	return path
}
