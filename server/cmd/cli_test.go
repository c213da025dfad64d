package cmd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

func TestParseDisk(t *testing.T) {
	for in, want := range map[string]session.Target{
		"only":                      {},
		"path=/dev/sda":             {Path: "/dev/sda"},
		"serial=ABC, min=1G,max=2T": {Serial: "ABC", MinSize: 1 << 30, MaxSize: 2 << 40},
		"min=512":                   {MinSize: 512},
		"max=1.5GiB":                {MaxSize: 3 << 29},
	} {
		got, err := parseDisk(in)
		if err != nil || *got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "tallest", "path=sda", "path=", "only=1", "min=x", "min=-1", "max=0", "size=1G"} {
		if got, err := parseDisk(in); err == nil || ExitCode(err) != exitUsage {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

func TestParseRate(t *testing.T) {
	for in, want := range map[string]int64{"": 0, "900M": 900_000_000, "1.5G": 1_500_000_000, "250k": 250_000,
		"12345": 12345} {
		if got, err := parseRate(in); err != nil || got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"x", "-1", "M", "1e40", "NaN", "1GB/s"} {
		if got, err := parseRate(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func TestExitCode(t *testing.T) {
	for want, err := range []error{nil, errors.New("x"), fmt.Errorf("y: %w", usage("x")),
		sessionResult(&doc.Session{State: doc.Failed}), fmt.Errorf("z: %w", &image.DamageError{})} {
		if got := ExitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

// Reboots stand where they were, before the steps of the last boot.
func TestTimelineOfReboots(t *testing.T) {
	t0 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	var b strings.Builder
	err := printTimeline(&b, map[string]doc.Mark{"agent": {Time: t0}},
		[]doc.Mark{{Time: t0.Add(-90 * time.Second), Message: "boot b2"},
			{Time: t0.Add(-time.Second), Message: "boot b3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `  reboot 1  03:02:35.000  +0.0 s   (0.0 s)   boot b2
  reboot 2  03:04:04.000  +89.0 s  (89.0 s)  boot b3
  agent     03:04:05.000  +90.0 s  (1.0 s)   
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestTimeline(t *testing.T) {
	t0 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	at := func(s float64) doc.Mark { return doc.Mark{Time: t0.Add(time.Duration(s * 1e9))} }
	steps := map[string]doc.Mark{"dhcp": {Time: t0, Message: "PXE on BIOS"}, "kernel": at(2), "agent": at(12),
		"first-byte": at(13), "last-byte": at(23), "written": at(23), "boot": at(24)}
	var b strings.Builder
	err := printTimeline(&b, steps, nil,
		&session.Progress{Received: 100e6, Needed: 100e6, Multicast: 90e6, Unicast: 10e6, Written: 500e6,
			ToWrite: 500e6, Loss: 0.0123, Rejected: 4})
	if err != nil {
		t.Fatal(err)
	}
	want := `  DHCP        03:04:05.000  +0.0 s   (0.0 s)   PXE on BIOS
  kernel      03:04:07.000  +2.0 s   (2.0 s)   
  agent       03:04:17.000  +12.0 s  (10.0 s)  
  first byte  03:04:18.000  +13.0 s  (1.0 s)   
  last byte   03:04:28.000  +23.0 s  (10.0 s)  
  written     03:04:28.000  +23.0 s  (0.0 s)   
  boot        03:04:29.000  +24.0 s  (1.0 s)   
  received 95.4 MiB of 95.4 MiB (multicast 85.8 MiB, unicast 9.5 MiB), 10.0 MB/s; ` +
		`written 476.8 MiB of 476.8 MiB, 50.0 MB/s; loss 1.23 %; 4 packets rejected
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func FuzzParseDisk(f *testing.F) {
	f.Add("serial=ABC,min=1G,max=2T")
	f.Add("only")
	f.Fuzz(func(t *testing.T, s string) {
		if target, err := parseDisk(s); err == nil && (target.MinSize < 0 || target.MaxSize < 0) {
			t.Errorf("%q: %+v", s, target)
		}
	})
}
