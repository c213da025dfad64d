package main

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/initramfs/userland"
)

func TestTable(t *testing.T) {
	var out bytes.Buffer
	// 3 MiB compressed, 6 MiB of code and data: everything counts half.
	err := table(&out, 3<<20, []userland.Share{{Command: "agent", Bytes: 2 << 20}, {Command: "ls", Bytes: 4 << 10}},
		4<<20-4<<10)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1024 agent", "2 ls", "2046 (several, and the Go runtime)"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestWithoutArchive(t *testing.T) {
	err := run(t.Context(), []string{"-f", t.TempDir() + "/none"}, &bytes.Buffer{}, &bytes.Buffer{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "make initramfs") {
		t.Errorf("error %v", err)
	}
}
