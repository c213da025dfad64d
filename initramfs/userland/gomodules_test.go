package userland

import (
	"context"
	"strings"
	"testing"

	"github.com/u-root/gobusybox/src/pkg/golang"
)

// TestModules asks the Go tool for what the agent is compiled from.
func TestModules(t *testing.T) {
	goroot, err := toolchain("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{dir: t.TempDir(), env: golang.Default(golang.WithGOROOT(goroot), golang.WithGOARCH("amd64"))}
	text, err := s.modules(context.Background(), Options{Module: "../..", Version: "v7"},
		[]string{"github.com/diskcast/diskcast/agent"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"github.com/diskcast/diskcast v7\n", "\ngithub.com/klauspost/reedsolomon v1."} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for line := range strings.Lines(string(text)) {
		if len(strings.Fields(line)) != 2 || strings.Count(string(text), line) != 1 {
			t.Errorf("line %q", line)
		}
	}
}
