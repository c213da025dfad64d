package machine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// bootDisk is a disk whose boot sector says words on the serial line and then switches the machine off, or stays.
func bootDisk(t *testing.T, words string, off bool) string {
	t.Helper()
	code := []byte{0xba, 0xf8, 0x03} // mov dx, 0x3f8
	for _, c := range []byte(words) {
		code = append(code, 0xb0, c, 0xee) // mov al, c; out dx, al
	}
	if off {
		code = append(code, 0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef) // PIIX4's ACPI: mov dx, 0x604; out dx, 0x2000
	}
	code = append(code, 0xf4, 0xeb, 0xfd) // hlt; again
	disk := make([]byte, 2<<20)           // SeaBIOS takes none of 64 KiB
	copy(disk, code)
	disk[510], disk[511] = 0x55, 0xaa
	name := filepath.Join(t.TempDir(), "a,b.raw") // a comma is QEMU's own
	if err := os.WriteFile(name, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRun(t *testing.T) {
	need.Tool(t, accel.QEMU)
	ran := errors.New("the command ran")
	then := func(context.Context) error { return ran }
	for _, c := range []struct {
		name        string
		words       string
		off         bool
		until, fail string
		then        func(context.Context) error
		limit       time.Duration
		want        error
	}{
		{"it says what is waited for", "\r\n\x1b[1mready\x1b[0m\r\n", false, `^ready$`, "", nil, time.Minute, nil},
		{"a command then", "ready", false, "ready", "panic", then, time.Minute, ran},
		{"it fails", "panic", false, "ready", "panic", nil, time.Minute, ErrFailed},
		{"both at once", "panic ready", false, "panic ready", "panic", nil, time.Minute, ErrFailed},
		{"it is switched off", "bye", true, "", "", nil, time.Minute, nil},
		{"it is switched off, and never said it", "bye", true, "ready", "", nil, time.Minute, ErrOff},
		{"it says nothing", "x", false, "ready", "", nil, 3 * time.Second, ErrTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Disk: bootDisk(t, c.words, c.off), Format: "raw", Memory: 32, CPUs: 1, Accel: accel.TCG,
				Console: &bytes.Buffer{}, Forward: []Forward{}}
			for _, x := range []struct {
				text string
				into **regexp.Regexp
			}{{c.until, &o.Until}, {c.fail, &o.Fail}} {
				if x.text != "" {
					*x.into = regexp.MustCompile("(?m)" + x.text)
				}
			}
			before, err := os.ReadFile(o.Disk)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := Deadline(t.Context(), c.limit)
			defer cancel()
			if err := Run(ctx, o, c.then); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v; the console said %q", err, c.want, o.Console)
			}
			if after, err := os.ReadFile(o.Disk); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the disk is another: %v", err)
			}
		})
	}
}

// TestRunRefused: QEMU's own words are in the error.
func TestRunRefused(t *testing.T) {
	need.Tool(t, accel.QEMU)
	o := Options{Disk: "/nowhere", Format: "raw", Memory: 32, CPUs: 1, Accel: accel.TCG, Console: &bytes.Buffer{}}
	if err := Run(t.Context(), o, nil); err == nil || !bytes.Contains([]byte(err.Error()), []byte("/nowhere")) {
		t.Errorf("a disk that is not there: %v", err)
	}
}
