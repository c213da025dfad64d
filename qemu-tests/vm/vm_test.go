package vm

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func needQEMU(t *testing.T) {
	t.Helper()
	need.Tool(t, QEMU)
}

func TestAcceleratorBoots(t *testing.T) {
	needQEMU(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := Accelerator(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("accelerator: %s", a.Name)
	start := time.Now()
	if _, err := Accelerator(ctx); err != nil || time.Since(start) > time.Second {
		t.Fatalf("second choice took %v, err %v: want the first one's answer", time.Since(start), err)
	}
}

func TestPowerAndConsole(t *testing.T) {
	needQEMU(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m := New(Options{Name: "blank", Memory: 64})
	for range 2 { // a machine may be switched on again
		if err := m.PowerOn(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Expect(ctx, `SeaBIOS \(version`); err != nil {
			t.Fatal(err)
		}
		if err := m.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		m.Unplug()
		if err := m.WaitOff(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.PowerButton(ctx); err == nil {
		t.Fatal("the power button of an unplugged machine did something")
	}
}

func TestExpectFailsWhenMachineGoesOff(t *testing.T) {
	needQEMU(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m := New(Options{Name: "wrong", Memory: 64, Extra: []string{"-no-such-option"}})
	if err := m.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Expect(ctx, "login:"); err == nil {
		t.Fatal("want an error that carries QEMU's own words")
	} else {
		t.Log(err)
	}
}

func TestStripEscapes(t *testing.T) {
	var s escState
	got := string(s.strip(nil, []byte("a\x1b[2")))
	got += string(s.strip(nil, []byte("Jb\r\n\x1bcd")))
	if got != "ab\nd" {
		t.Fatalf("got %q", got)
	}
}

// TestLateDisk plugs a disk of each bus into a running machine, and sees that without Late they are there from the
// start.
func TestLateDisk(t *testing.T) {
	needQEMU(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var disks []Disk
	for _, bus := range []Bus{VirtioBlk, SCSI, USB} {
		path := filepath.Join(t.TempDir(), "disk.raw")
		if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		disks = append(disks, Disk{Path: path, Serial: "serial", Bus: bus})
	}
	m := New(Options{Name: "late", Memory: 64, Disks: disks})
	m.Late(0, 1, 2)
	for range 2 { // what was plugged in is late again at the next power-on
		if err := m.PowerOn(ctx); err != nil {
			t.Fatal(err)
		}
		for i := range disks {
			if err := m.Plug(ctx, i); err != nil {
				t.Fatal(err)
			}
			if err := m.Plug(ctx, i); err == nil {
				t.Errorf("disk %d was plugged in twice", i)
			}
		}
		m.Unplug()
	}
	m.Late()
	if err := m.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	defer m.Unplug()
	for i := range disks {
		if err := m.Plug(ctx, i); err == nil {
			t.Errorf("disk %d was not there at power-on", i)
		}
	}
}
