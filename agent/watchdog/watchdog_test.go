package watchdog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/kernellog"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/uml"
)

// fake is a watchdog that notes what is done to it.
type fake struct {
	most              int // seconds that it can count
	stubborn, expired bool
	fed               int
	done              []string
}

func (f *fake) Name() string { return "fake" }
func (f *fake) SetTimeout(s int) (int, error) {
	if s > f.most {
		return 0, unix.EINVAL
	}
	return s, nil
}
func (f *fake) Feed() error   { f.fed++; return nil }
func (f *fake) Expired() bool { return f.expired }
func (f *fake) Close() error  { f.done = append(f.done, "close"); return nil }
func (f *fake) Disable() error {
	if f.stubborn {
		return unix.EBUSY
	}
	f.done = append(f.done, "disable")
	return nil
}

func TestDog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		dev := &fake{most: 65535, expired: true}
		d := start(dev, Default, slog.New(slog.NewTextHandler(&log, nil)))
		var dead atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan struct{})
		go func() { defer close(ended); d.Run(ctx, func() bool { return !dead.Load() }) }()
		time.Sleep(10*time.Minute + time.Second)
		if dev.fed < 40 || dev.fed > 42 {
			t.Errorf("fed %d times in ten minutes", dev.fed)
		}
		dead.Store(true)
		before := dev.fed
		time.Sleep(10 * time.Minute)
		if dev.fed != before {
			t.Error("fed while the agent hangs")
		}
		dead.Store(false)
		time.Sleep(time.Minute)
		if dev.fed == before {
			t.Error("not fed any more")
		}
		if err := d.Stop(); err != nil || strings.Join(dev.done, " ") != "disable close" {
			t.Errorf("%v, %v", err, dev.done)
		}
		<-ended // by itself, since there is nothing to feed
		if err := d.Stop(); err != nil || len(dev.done) != 2 {
			t.Errorf("twice: %v, %v", err, dev.done)
		}
		for _, words := range []string{"was restarted by its watchdog", "the agent hangs", "is fed again"} {
			if strings.Count(log.String(), words) != 1 {
				t.Errorf("%q is not said once:\n%s", words, &log)
			}
		}
	})
	var none *Dog
	if err := none.Stop(); err != nil {
		t.Error(err)
	}
}

func TestOdd(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if d := start(&fake{most: 90}, Default, log); d.timeout != Least {
		t.Errorf("one that counts to 90: %v", d.timeout)
	}
	if d := start(&fake{}, Default, log); d.timeout != 30*time.Second {
		t.Errorf("one that takes nothing: %v", d.timeout)
	}
	dev := &fake{most: 65535, stubborn: true}
	err := start(dev, Default, log).Stop()
	if err == nil || !strings.Contains(err.Error(), "cannot be stopped") || !strings.Contains(err.Error(), "10m0s") ||
		dev.fed != 1 || dev.done[0] != "close" {
		t.Errorf("one that cannot be stopped: %v, %+v", err, dev)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]time.Duration{"": Default, "on": Default, "off": 0, "0": 0, "90": 90 * time.Second,
		"90s": 90 * time.Second, "5": -1, "601": -1, "1m": -1, "x": -1, "60.5": -1, "-60": -1} {
		got, err := Parse(in)
		if want == -1 && err == nil || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

func init() {
	uml.Handle("watchdog", func(t uml.Task) (string, error) {
		if err := softdog(t.Args[0]); err != nil {
			return "", err
		}
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		d, err := Open(Devices, Least, logger)
		if err != nil {
			return "", err
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go d.Run(ctx, func() bool { return true })
		if _, err := Open(Devices, Least, logger); !errors.Is(err, unix.EBUSY) {
			return "", fmt.Errorf("opened twice: %w", err)
		}
		stopped := d.Stop()
		lines, _, err := (&kernellog.Ring{Path: "/dev/kmsg"}).Read(7, 1<<20)
		for _, l := range lines {
			if strings.Contains(l.Text, "watchdog") {
				fmt.Fprintln(&log, l.Text)
			}
		}
		return fmt.Sprint(&log, "stopped: ", stopped), err
	})
}

// softdog makes a watchdog in the guest.
func softdog(params string) error {
	dirs, err := filepath.Glob("/usr/lib/uml/modules/*")
	if err != nil || len(dirs) == 0 {
		return fmt.Errorf("no modules for the guest: %w", err)
	}
	index, err := kmod.Load(os.DirFS(dirs[0]))
	if err != nil {
		return err
	}
	l := &kmod.Loader{Index: index, Dir: os.DirFS(dirs[0]), Kernel: kmod.System{}, Log: slog.New(slog.DiscardHandler),
		Params: func(m string) string { return map[string]string{"softdog": params}[m] }}
	if _, err := l.Load("softdog"); err != nil {
		return err
	}
	for dir, fs := range map[string]string{"/dev": "devtmpfs", "/sys": "sysfs"} {
		if err := unix.Mount(fs, dir, fs, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

// TestKernel has a watchdog of a real kernel: it runs, is nobody else's, and is stopped, or cannot be and says so. The
// kernel's log is the judge.
func TestKernel(t *testing.T) {
	need.Tools(t, uml.Program)
	const stays = "watchdog did not stop!"
	for params, want := range map[string]string{"nowayout=0": "stopped: <nil>", "nowayout=1": "cannot be stopped"} {
		t.Run(params, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, make([]byte, 4096), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := uml.Run(ctx, t.TempDir(),
				uml.Task{Name: "watchdog", Disk: disk, FS: "proc", Args: []string{params}})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got, "Software Watchdog") || !strings.Contains(got, "after=1m0s") ||
				!strings.Contains(got, want) || strings.Contains(got, stays) != (params == "nowayout=1") {
				t.Errorf("want %q in %s", want, got)
			}
		})
	}
}
