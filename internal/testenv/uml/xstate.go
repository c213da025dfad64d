package uml

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/cpu"

	"github.com/diskcast/diskcast/internal/testenv/proc"
)

//go:embed testdata/xstate.c
var xstate []byte

// preload returns the words of the environment that user-mode Linux needs on this processor. Where the processor has
// AMX, Debian 12's panics with "ptrace set fp regs failed" without the library that is compiled into dir here.
func preload(ctx context.Context, dir string) ([]string, error) {
	if !cpu.X86.HasAMXTile {
		return nil, nil
	}
	source, library := filepath.Join(dir, "xstate.c"), filepath.Join(dir, "xstate.so")
	if err := os.WriteFile(source, xstate, 0o644); err != nil {
		return nil, err
	}
	if _, err := proc.Output(ctx, "gcc", "-shared", "-fPIC", "-o", library, source); err != nil {
		return nil, fmt.Errorf("compiling what user-mode Linux needs on a processor with AMX: %w", err)
	}
	return []string{"LD_PRELOAD=" + library}, nil
}
