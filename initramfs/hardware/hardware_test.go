package hardware

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/diskcast/diskcast/internal/uevent"
)

// machine is a fake one: loading a driver makes devices appear.
type machine struct {
	mu    sync.Mutex
	asked []string
	// devices that the driver of an alias brings; the alias has a driver if there is an entry
	answers map[string][]uevent.Event
	fails   map[string]bool
	events  []uevent.Event
	lost    bool
	more    chan struct{}
}

var (
	_ Events = (*machine)(nil)
	_ Loader = (*machine)(nil)
)

func (m *machine) Load(alias string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, alias)
	if m.fails[alias] {
		return 0, errors.New("refused")
	}
	brings, ok := m.answers[alias]
	if !ok {
		return 0, nil
	}
	m.events = append(m.events, brings...)
	return 1, nil
}

func (m *machine) Pending() ([]uevent.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lost {
		m.lost = false
		return nil, uevent.ErrLost
	}
	list := m.events
	m.events = nil
	return list, nil
}

func (m *machine) Wait(ctx context.Context) error {
	select {
	case <-m.more:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sys(aliases map[string]string) fstest.MapFS {
	m := fstest.MapFS{"bus/none/devices": {Mode: fs.ModeDir}, "bus/broken": {Mode: fs.ModeDir},
		"class/tty/tty0/uevent": {Data: []byte("x")}}
	for dir, alias := range aliases {
		m[dir+"/modalias"] = &fstest.MapFile{Data: []byte(alias + "\n")}
	}
	return m
}

// TestColdplugFindsAll looks for this machine's devices everywhere below /sys/devices, too.
func TestColdplugFindsAll(t *testing.T) {
	d := &Drivers{Sys: Sys(), Log: slog.New(slog.DiscardHandler)}
	got, err := d.coldplug()
	if err != nil {
		t.Skip(err)
	}
	err = fs.WalkDir(d.Sys, "devices", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() != "modalias" {
			return nil
		}
		data, err := fs.ReadFile(d.Sys, name)
		if alias := strings.TrimSpace(string(data)); err == nil && alias != "" && !slices.Contains(got, alias) {
			t.Errorf("%s (%s) was not found", name, alias)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func add(alias string) uevent.Event { return uevent.Event{Action: "add", Modalias: alias} }

func TestSettle(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      *machine
		want   string
		loaded int
	}{
		{"a controller, then its disks", &machine{answers: map[string][]uevent.Event{
			"pci:hba": {add("scsi:host"), {Action: "change", Modalias: "ignored"},
				{Action: "remove", Modalias: "ignored"}},
			"scsi:host": {add("scsi:disk"), add("scsi:disk")},
			"scsi:disk": nil,
		}}, "acpi:x pci:hba scsi:disk scsi:host", 3},
		{"a driver that fails", &machine{answers: map[string][]uevent.Event{"acpi:x": {add("a:b")}},
			fails: map[string]bool{"pci:hba": true}}, "a:b acpi:x pci:hba", 1},
		{"no driver at all", &machine{}, "acpi:x pci:hba", 0},
		{"events are lost", &machine{answers: map[string][]uevent.Event{"pci:hba": nil}, lost: true},
			"acpi:x pci:hba", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &Drivers{Sys: sys(map[string]string{"bus/pci/devices/0": "pci:hba", "bus/pci/devices/1": "pci:hba",
				"class/acpi/x": "acpi:x", "devices/system/none": ""}), Events: c.m, Loader: c.m,
				Log: slog.New(slog.DiscardHandler)}
			if err := d.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			slices.Sort(c.m.asked)
			if got := strings.Join(c.m.asked, " "); got != c.want || d.Loaded() != c.loaded {
				t.Errorf("asked for %q, loaded %d; want %q, %d", got, d.Loaded(), c.want, c.loaded)
			}
		})
	}
}

// TestLater has devices that can wait, one of which comes with a driver.
func TestLater(t *testing.T) {
	m := &machine{answers: map[string][]uevent.Event{"pci:hba": {add("input:keys"), add("scsi:host")},
		"cpu:features": nil, "input:keys": nil, "scsi:host": nil}, fails: map[string]bool{"serio:mouse": true}}
	var log strings.Builder
	d := &Drivers{Sys: sys(map[string]string{"bus/pci/devices/0": "pci:hba", "devices/system/cpu": "cpu:features",
		"bus/serio/devices/0": "serio:mouse"}), Events: m, Loader: m, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := d.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(m.asked)
	if got := strings.Join(m.asked, " "); got != "pci:hba scsi:host" || d.Loaded() != 2 {
		t.Errorf("at first asked for %q, loaded %d", got, d.Loaded())
	}
	m.asked = nil
	d.Later()
	slices.Sort(m.asked)
	if got := strings.Join(m.asked, " "); got != "cpu:features input:keys serio:mouse" || d.Loaded() != 4 {
		t.Errorf("later asked for %q, loaded %d", got, d.Loaded())
	}
	if !strings.Contains(log.String(), "serio:mouse") {
		t.Errorf("nothing was said of a driver that was not loaded: %s", &log)
	}
	m.asked = nil
	if d.Later(); m.asked != nil {
		t.Errorf("asked again: %q", m.asked)
	}
}

func TestSettleWithoutSys(t *testing.T) {
	m := &machine{}
	d := &Drivers{Sys: fstest.MapFS{}, Events: m, Loader: m, Log: slog.New(slog.DiscardHandler)}
	if err := d.Settle(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestFollow(t *testing.T) {
	m := &machine{answers: map[string][]uevent.Event{"usb:hub": {add("usb:nic")}, "usb:nic": nil},
		more: make(chan struct{})}
	d := &Drivers{Sys: sys(nil), Events: m, Loader: m, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ctx, stop := context.WithCancel(t.Context())
	changed := make(chan int)
	ended := make(chan error)
	go func() { ended <- d.Follow(ctx, func() { changed <- d.Loaded() }) }()
	m.mu.Lock()
	m.events = []uevent.Event{add("usb:hub")}
	m.mu.Unlock()
	m.more <- struct{}{}
	if n := <-changed; n != 2 {
		t.Errorf("%d drivers loaded, want 2", n)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
