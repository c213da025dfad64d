package disk

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// TestAwait waits for a disk that comes late, and for no other reason.
func TestAwait(t *testing.T) {
	stick := session.Disk{Path: "/dev/sda", Size: 1 << 30, Bus: session.BusUSB, Removable: true}
	a := session.Disk{Path: "/dev/sda", Size: 1 << 30, Serial: "S-A"}
	b := session.Disk{Path: "/dev/sdb", Size: 1 << 30, Serial: "S-B"}
	twin := session.Disk{Path: "/dev/sdb", Size: 1 << 30, Serial: "S-A", BusPath: "usb-2"}
	wide := session.Disk{Path: "/dev/sda", Size: 1 << 30, WWN: "naa.5"}
	wideTwin := session.Disk{Path: "/dev/sdb", Size: 1 << 30, WWN: "naa.5", BusPath: "usb-2"}
	firstB := b.ID()
	large := session.Disk{Path: "/dev/sdc", Size: 2 << 30, Serial: "S-C"}
	firstLarge := large.ID()
	for _, c := range []struct {
		name  string
		d     session.Descriptor
		there []session.Disk // at first
		late  *session.Disk  // comes after five seconds
		want  string         // path; empty: an error
		words string         // of the error
		after time.Duration
		quiet bool // the agent began just now
	}{
		{"there", session.Descriptor{Target: &session.Target{}}, []session.Disk{a}, nil, "/dev/sda", "", 0, false},
		{"no disk yet", session.Descriptor{Target: &session.Target{}}, nil, &a, "/dev/sda", "", 10 * time.Second,
			false},
		{"a stick, and the disk comes", session.Descriptor{Target: &session.Target{}}, []session.Disk{stick}, &b,
			"/dev/sdb", "", 10 * time.Second, false},
		{"a stick that is named", session.Descriptor{Target: &session.Target{Type: session.TypeUSB}}, nil, &stick,
			"/dev/sda", "", 10 * time.Second, false},
		{"the session's disk comes after another",
			session.Descriptor{Target: &session.Target{Path: "/dev/sda"}, Disk: &firstB}, []session.Disk{a}, &b,
			"/dev/sdb", "", 5 * time.Second, false},
		{"none comes", session.Descriptor{Target: &session.Target{}}, nil, nil, "", "no disk that the kernel knows",
			15 * time.Second, false},
		{"a stick alone", session.Descriptor{Target: &session.Target{}}, []session.Disk{stick}, nil, "",
			"only removable or USB disks", 15 * time.Second, false},
		{"the session's disk is gone", session.Descriptor{Target: &session.Target{}, Disk: &firstB}, []session.Disk{a},
			nil, "", "is not there", 15 * time.Second, false},
		{"larger, and a larger one comes", session.Descriptor{Target: &session.Target{Largest: true}},
			[]session.Disk{a}, &large, "/dev/sdc", "", 10 * time.Second, true},
		{"the only one, and another comes", session.Descriptor{Target: &session.Target{}}, []session.Disk{a}, &b, "",
			"fits 2 disks", 10 * time.Second, true},
		{"the only one, and nothing comes", session.Descriptor{Target: &session.Target{}}, []session.Disk{a}, nil,
			"/dev/sda", "", 5 * time.Second, true},
		{"a serial", session.Descriptor{Target: &session.Target{Serial: "S-A"}}, []session.Disk{a}, nil, "/dev/sda", "",
			5 * time.Second, true},
		{"a serial, and its twin comes", session.Descriptor{Target: &session.Target{Serial: "S-A"}}, []session.Disk{a},
			&twin, "", "fits 2 disks", 10 * time.Second, true},
		{"a wwn, and its twin comes", session.Descriptor{Target: &session.Target{WWN: "5"}}, []session.Disk{wide},
			&wideTwin, "", "fits 2 disks", 10 * time.Second, true},
		{"another's choice against the rule", session.Descriptor{Target: &session.Target{Serial: "S-A"}, Disk: &firstB},
			[]session.Disk{a, b}, nil, "", "does not hold any more", 0, false},
		{"another's choice of several", session.Descriptor{Target: &session.Target{Smallest: true}, Disk: &firstLarge},
			[]session.Disk{a, large}, nil, "", "means /dev/sda", 0, false},
		{"two that fit", session.Descriptor{Target: &session.Target{}}, []session.Disk{a, b}, nil, "", "fits 2 disks",
			0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				list := func() []session.Disk {
					if c.late != nil && time.Since(began) >= 5*time.Second {
						return append([]session.Disk{*c.late}, c.there...)
					}
					return c.there
				}
				w := Patience(began.Add(-time.Minute))
				if c.quiet {
					w.Since = began
				}
				got, err := Await(t.Context(), list, &c.d, w)
				if got.Path != c.want || (err == nil) != (c.want != "") ||
					(err != nil && !strings.Contains(err.Error(), c.words)) {
					t.Errorf("%q, %v; want %q, %q", got.Path, err, c.want, c.words)
				}
				if took := time.Since(began); took != c.after {
					t.Errorf("it took %v, want %v", took, c.after)
				}
			})
		})
	}
	gone := errors.New("the session is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := Await(ctx, func() []session.Disk { return nil }, &session.Descriptor{Target: &session.Target{}},
		Patience(time.Now())); !errors.Is(err, gone) {
		t.Errorf("cancelled while it waits: %v", err)
	}
}

// TestAwaitRestless has disks that still come when the patience for a missing one is over.
func TestAwaitRestless(t *testing.T) {
	disk := func(name string, size int64) session.Disk {
		return session.Disk{Path: "/dev/" + name, Size: size, Serial: name}
	}
	for name, c := range map[string]struct {
		come  map[time.Duration]session.Disk
		flaps bool // one more disk is there every other second
		want  string
		words string
		after time.Duration
	}{
		"the largest comes last": {map[time.Duration]session.Disk{
			4500 * time.Millisecond: disk("sda", 1), 9 * time.Second: disk("sdb", 2),
			13500 * time.Millisecond: disk("sdc", 3), 16 * time.Second: disk("sdd", 4),
		}, false, "/dev/sdd", "", 21 * time.Second},
		"one that comes and goes": {map[time.Duration]session.Disk{0: disk("sda", 2)}, true, "",
			"still come and go after 1m20s", 80 * time.Second},
		"none that fits, ever": {nil, false, "", "no disk that the kernel knows", 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				list := func() []session.Disk {
					var now []session.Disk
					for at, d := range c.come {
						if time.Since(began) >= at {
							now = append(now, d)
						}
					}
					if c.flaps && time.Since(began)/time.Second%2 == 1 {
						now = append(now, disk("sdz", 1))
					}
					slices.SortFunc(now, func(a, b session.Disk) int { return strings.Compare(a.Path, b.Path) })
					return now
				}
				got, err := Await(t.Context(), list, &session.Descriptor{Target: &session.Target{Largest: true}},
					Patience(began))
				if got.Path != c.want || (err == nil) != (c.want != "") || err != nil &&
					!strings.Contains(err.Error(), c.words) {
					t.Errorf("%q, %v; want %q, %q", got.Path, err, c.want, c.words)
				}
				if took := time.Since(began); took != c.after {
					t.Errorf("it took %v, want %v", took, c.after)
				}
			})
		})
	}
}
