package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/cmd"
)

// TestRunImage starts an image of a store, of which nothing is written out, and one that is; what is damaged is heard
// of, also when the console said what was waited for.
func TestRunImage(t *testing.T) {
	need.Tool(t, accel.QEMU)
	t.Setenv("DISKCAST_ACCEL", "tcg")
	diskcastInPath(t)
	temp, err := os.MkdirTemp("", "run-") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	t.Setenv("TMPDIR", temp)
	store, serial := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "console.log")
	// A boot sector that reads the sector at 5 MiB, which lies in another chunk, and says "#" or, where that fails,
	// "!": mov si, 7c40h; mov ah, 42h; mov dl, 80h; int 13h; mov al, '#'; jnc +2; mov al, '!'; mov dx, 3f8h;
	// out dx, al; hlt.
	code := "\xbe\x40\x7c\xb4\x42\xb2\x80\xcd\x13\xb0#\x73\x02\xb0!\xba\xf8\x03\xee\xf4\xeb\xfd"
	disk := make([]byte, 8<<20)
	copy(disk, code)
	// What INT 13h, AH=42h is told: 16 bytes, one sector, to 0:8000h, from sector 10240 on.
	copy(disk[0x40:], "\x10\x00\x01\x00\x00\x80\x00\x00\x00\x28\x00\x00\x00\x00\x00\x00")
	disk[510], disk[511] = 0x55, 0xaa
	for i := 5 << 20; i < 6<<20; i++ {
		disk[i] = byte(i * i >> 7)
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if err := cmd.Run(context.Background(), []string{"image", "import", file, "--name", "web", "--store", store},
		strings.NewReader(""), &said, &said); err != nil {
		t.Fatal(err, said.String())
	}
	args := []string{"--image", "web", "--store", store, "--memory", "32", "--serial", serial, "--until", "#", "--fail",
		"!", "--time", "1m"}
	for _, more := range [][]string{nil, {"--export"}} {
		if code, text := runMachine(t, append(args, more...)...); code != 0 {
			t.Errorf("%v: code %d, %s", more, code, text)
		}
	}
	list := filepath.Join(store, "index.json")
	was, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(list, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{list, link, filepath.Join(store, "blobs", "new.log")} {
		code, text := runMachine(t, append(args, "--serial", name)...)
		if is, err := os.ReadFile(list); code != 2 || !strings.Contains(text, "lies in the image store "+store) ||
			err != nil || !bytes.Equal(is, was) {
			t.Errorf("--serial %s: code %d, %s; the store's list: %v", name, code, text, err)
		}
	}
	if code, text := runMachine(t, "--image", "nobody", "--store", store); code != 1 ||
		!strings.Contains(text, "not in the store") || strings.Contains(text, `{"`) {
		t.Errorf("no such image: code %d, %s", code, text)
	}
	blobs, err := filepath.Glob(filepath.Join(store, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	largest, size := "", int64(0)
	for _, b := range blobs {
		if st, err := os.Stat(b); err == nil && st.Size() > size {
			largest, size = b, st.Size()
		}
	}
	data, err := os.ReadFile(largest)
	if err == nil {
		err = os.Chmod(largest, 0o600)
	}
	if err == nil {
		data[len(data)-9] ^= 4 // of the last chunk
		err = os.WriteFile(largest, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{{"--until", "[#!]", "--fail", "never"}, {"--until", "never", "--fail", "never"},
		{"--export"}} {
		code, text := runMachine(t, append(args, more...)...)
		if code != 1 || strings.Contains(text, "the time is over") || !strings.Contains(text, "diskcast image ") ||
			!strings.Contains(text, "exit status 4") {
			t.Errorf("damaged, %v: code %d, %s", more, code, text)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
