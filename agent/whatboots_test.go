package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestWhatBoots asks of a disk in a file, whose only loader is GRUB's configuration, and shows that not a byte of it
// changed.
func TestWhatBoots(t *testing.T) {
	need.Root(t)
	need.Tools(t, "sfdisk", "mkfs.ext4", "losetup")
	dir := t.TempDir()
	tree, disk, script := filepath.Join(dir, "tree"), filepath.Join(dir, "disk.raw"), filepath.Join(dir, "sfdisk")
	for name, text := range map[string]string{
		filepath.Join(tree, "boot/grub/grub.cfg"): "set timeout=1\nmenuentry Debian { linux /boot/vmlinuz " +
			"root=/dev/sda1; initrd /boot/initrd.img; }\n",
		filepath.Join(tree, "boot/vmlinuz"): "k", filepath.Join(tree, "boot/initrd.img"): "i",
		script: "label: dos\nstart=2048,size=65536,type=83,bootable\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 40<<20); err != nil {
		t.Fatal(err)
	}
	volumetest.Run(t, "sh", "-c", "sfdisk -q "+disk+" < "+script)
	volumetest.Run(t, "mkfs.ext4", "-q", "-d", tree, "-E", "offset=1048576", disk, "32M")
	sum := func() [32]byte {
		b, err := os.ReadFile(disk)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b)
	}
	before := sum()
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-what-boots", disk}, nil, &out, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, firmware := range []string{"UEFI", "BIOS"} {
		want := firmware + `: "Debian", from GRUB, /boot/grub/grub.cfg on partition 1
  kernel: (partition 1)/boot/vmlinuz
  initrd: (partition 1)/boot/initrd.img
  command line: BOOT_IMAGE=/boot/vmlinuz root=/dev/sda1
  note: no boot loader`
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant in it\n%s", &out, want)
		}
	}
	if sum() != before {
		t.Error("the disk was written to")
	}
	if err := run(context.Background(), []string{"-what-boots", filepath.Join(dir, "none")}, nil, &out,
		&out); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a disk that is not there: %v", err)
	}
}

// TestPassphraseFile reads what is typed at a loader's prompt: a line, without its end.
func TestPassphraseFile(t *testing.T) {
	for _, tt := range []struct{ text, want, why string }{
		{"two words\n", "two words", ""},
		{" blanks stay \r\nmore\n", " blanks stay ", ""},
		{"no end", "no end", ""},
		{"\nsecond\n", "", "its first line is empty"},
		{"", "", "its first line is empty"},
	} {
		name := filepath.Join(t.TempDir(), "passphrase")
		if err := os.WriteFile(name, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := firstLine(name)
		if got != tt.want || (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%q: %q, %v, want %q, %q", tt.text, got, err, tt.want, tt.why)
		}
	}
	err := run(t.Context(), []string{"-passphrase-file", "x"}, nil, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "goes with -what-boots") {
		t.Errorf("a passphrase without a disk: %v", err)
	}
}
