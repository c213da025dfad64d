package kernellog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestParse(t *testing.T) {
	for record, want := range map[string]string{
		"3,1234,5678901,-;sd 0:0:0:0: [sda] I/O error\n SUBSYSTEM=scsi\n DEVICE=b8:0\n": "3 1234 [    5.678901] " +
			"sd 0:0:0:0: [sda] I/O error",
		"6,1,0,-;Linux version 6.1\n":                        "6 1 [    0.000000] Linux version 6.1",
		"4,7,12345678901234,c,caller=T1;a \x1b[31mred\x07\n": "4 7 [12345678.901234] a \uFFFD[31mred\uFFFD",
		"30,9,1,-;systemd[1]: of a program\n":                "",
		"3,x,1,-;text":                                       "",
		"no record":                                          "",
		"-3,1,1,-;x":                                         "",
		"":                                                   "",
	} {
		l, ok := parse(record)
		got := ""
		if ok {
			got = fmt.Sprint(l.Level, " ", l.Seq, " ", l.Text)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", record, got, want)
		}
	}
}

// TestRing reads this machine's own log: a second time there is nothing of the first any more.
func TestRing(t *testing.T) {
	need.Root(t)
	r := &Ring{Path: "/dev/kmsg"}
	if _, err := os.Stat(r.Path); err != nil {
		t.Skip("no /dev/kmsg here")
	}
	lines, _, err := r.Read(7, 4096)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, l := range lines {
		size += len(l.Text) + 1
	}
	if len(lines) == 0 || size > 4096 {
		t.Errorf("%d lines of %d bytes", len(lines), size)
	}
	seen := lines[len(lines)-1].Seq
	if lines, _, err = r.Read(7, 4096); err != nil || len(lines) > 0 && lines[0].Seq <= seen {
		t.Errorf("again: %v, %v", lines, err)
	}
}

func TestLast(t *testing.T) {
	lines := []Line{{Text: "1234"}, {Text: "567"}, {Text: "89"}}
	for max, want := range map[int]int{100: 3, 12: 3, 11: 2, 7: 2, 6: 1, 2: 0} {
		if got, left := last(lines, max); len(got) != want || left != 3-want {
			t.Errorf("%d bytes: %d lines, %d left, want %d", max, len(got), left, want)
		}
	}
}

// store makes a pstore as efi_pstore shows one: two crashes in parts, and what is not for us.
func store(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text string
		at   int64
	}{
		"dmesg-efi_pstore-171000000001001": {"Panic#1 Part1\n<4>[  100.3] Kernel panic - not syncing\n",
			1710000000},
		"dmesg-efi_pstore-171000000002001":       {"Panic#1 Part2\n<6>[  100.2] before \x1b[31m\n", 1710000000},
		"dmesg-efi_pstore-172000000001001":       {"Oops#1 Part1\n<1>[    7.1] BUG: unable to handle", 1720000000},
		"dmesg-efi_pstore-173000000001001.enc.z": {"\x78\x9c", 1730000000},
		"mce-erst-5":                             {"binary", 1730000000},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(c.at, 0), time.Unix(c.at, 0)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCrashes(t *testing.T) {
	dir := store(t)
	crashes, unread := Crashes(dir, 4096)
	if len(crashes) != 2 || len(unread) != 1 || !strings.Contains(unread[0], "compressed in a way") {
		t.Fatalf("%+v, %q", crashes, unread)
	}
	oops, panicked := crashes[0], crashes[1]
	if oops.Why != "Oops" || !oops.Panicked() || oops.When.Unix() != 1720000000 ||
		oops.Text != "<1>[    7.1] BUG: unable to handle" {
		t.Errorf("%+v", oops)
	}
	if want := "<6>[  100.2] before \uFFFD[31m\n<4>[  100.3] Kernel panic - not syncing"; panicked.Text != want {
		t.Errorf("%q, want %q", panicked.Text, want)
	}
	if short, _ := Crashes(dir, 50); short[1].Text != "<4>[  100.3] Kernel panic - not syncing" {
		t.Errorf("cut: %q", short[1].Text)
	}
	if err := panicked.Remove(); err != nil {
		t.Error(err)
	}
	if left, _ := Crashes(dir, 4096); len(left) != 1 || left[0].Why != "Oops" {
		t.Errorf("left: %+v", left)
	}
	if none, unread := Crashes(filepath.Join(dir, "nowhere"), 1); none != nil || unread != nil {
		t.Errorf("%v, %v", none, unread)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("3,1234,5678901,-;sd 0:0:0:0: error\n KEY=x", 10)
	f.Add("Panic#1 Part1\ntext", 3)
	f.Fuzz(func(t *testing.T, s string, max int) {
		if l, ok := parse(s); ok && (l.Level < 0 || l.Level > 7 || strings.ContainsAny(l.Text, "\n\x1b")) {
			t.Errorf("%+v", l)
		}
		why, count, number, body := split(s)
		c := &Crash{parts: []part{{number, body}, {count, s}}}
		if c.join(min(max&0xffff, 1000)); len(c.Text) > 1000 || strings.Contains(c.Text, "\x1b") {
			t.Errorf("%s: %q", why, c.Text)
		}
	})
}
