package erase

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
)

// full is a disk that offers what the method needs.
func full(method string) *fakeDisk {
	d := newDisk()
	d.secure = true
	switch {
	case strings.HasPrefix(method, "ata"):
		withATA(d)
	case strings.HasPrefix(method, "nvme"):
		withNVMe(d)
	}
	return d
}

func eachMethod(t *testing.T, test func(t *testing.T, m *method)) {
	for i := range methods {
		t.Run(methods[i].name, func(t *testing.T) { test(t, &methods[i]) })
	}
}

// TestErases has every method do its work on a disk that can: nothing of what was there is left, and everything is
// said.
func TestErases(t *testing.T) {
	terms := map[string]string{erasure.Discard: erasure.None, erasure.SecureDiscard: erasure.None,
		erasure.Zero: erasure.Clear, erasure.Overwrite: erasure.Clear, erasure.ATAErase: erasure.Clear,
		erasure.ATAEnhanced:  erasure.Purge,
		erasure.ATAOverwrite: erasure.Purge, erasure.ATABlockErase: erasure.Clear,
		erasure.ATACryptoScramble: erasure.Purge,
		erasure.NVMeFormat:        erasure.Purge, erasure.NVMeFormatCrypto: erasure.Purge,
		erasure.NVMeSanitizeWrite: erasure.Purge, erasure.NVMeSanitizeBlock: erasure.Purge,
		erasure.NVMeSanitizeCrypto: erasure.Purge}
	for _, scope := range []string{erasure.ReadSample, erasure.ReadAll} {
		t.Run(scope, func(t *testing.T) {
			eachMethod(t, func(t *testing.T, m *method) {
				w := newWorld(t, full(m.name))
				res, err := w.erase(erasure.Spec{Method: m.name, ReadBack: scope})
				if err != nil {
					t.Fatal(err)
				}
				if n := w.disk.left(); n != 0 || !w.reread {
					t.Errorf("%d blocks are left, partitions read anew: %v", n, w.reread)
				}
				b := res.ReadBack
				if !res.OK || res.Term != terms[m.name] || res.Reason == "" || b.Scope != scope ||
					b.Bytes != diskSize ||
					b.Blocks != diskSize/block {
					t.Errorf("%+v", res)
				}
				if want := m.content == nil || m.reach > reachUser; (b.Witnesses == diskSize/placeSize) != want {
					t.Errorf("%d witnesses", b.Witnesses)
				}
				if m.content != nil && b.Wanted != b.Blocks {
					t.Errorf("%d of %d blocks are what was written", b.Wanted, b.Blocks)
				}
				if res.Disk.Serial != serial || res.Disk.Size != diskSize || res.Disk.Model == "" ||
					len(res.Unreached)+len(res.Unseen) == 0 {
					t.Errorf("%+v", res)
				}
				if want := []string{"info plan", "info verified", "info erased"}; !slices.Equal(w.steps, want) {
					t.Errorf("steps %q, want %q", w.steps, want)
				}
				var back erasure.Result
				if text, err := json.Marshal(res); err != nil || json.Unmarshal(text, &back) != nil ||
					back.Term != res.Term {
					t.Errorf("as JSON: %s, %v", text, err)
				}
			})
		})
	}
}

// TestLies has a disk say yes to every method and keep its bytes, all of them or those of one half: reading back
// notices.
func TestLies(t *testing.T) {
	for name, lie := range map[string]func(*fakeDisk){"all": func(d *fakeDisk) { d.lies = true },
		"half": func(d *fakeDisk) { d.half = true }} {
		t.Run(name, func(t *testing.T) {
			eachMethod(t, func(t *testing.T, m *method) {
				if m.name == erasure.Overwrite {
					t.Skip("what does not take writes is in TestForgets")
				}
				d := full(m.name)
				lie(d)
				w := newWorld(t, d)
				res, err := w.erase(erasure.Spec{Method: m.name})
				if err == nil || res == nil || res.OK || res.Term != erasure.None || res.Failure != err.Error() {
					t.Fatalf("%v, %+v", err, res)
				}
				want := "STILL HOLD WHAT WAS THERE BEFORE"
				if m.name == erasure.Zero {
					want = "NOT WHAT WAS WRITTEN"
				}
				if !strings.Contains(err.Error(), want) || res.ReadBack.Kept+res.ReadBack.Wrong == 0 ||
					res.ReadBack.FirstBad < 0 {
					t.Errorf("%v, %+v", err, res.ReadBack)
				}
				if w.steps[len(w.steps)-1] != "error erased" {
					t.Errorf("steps %q", w.steps)
				}
			})
		})
	}
}

// TestForgets has a disk take writes and lose them.
func TestForgets(t *testing.T) {
	for method, want := range map[string]string{erasure.Overwrite: "NOT WHAT WAS WRITTEN",
		erasure.Discard: "holds nothing of what was written"} {
		d := newDisk()
		d.forgets = true
		w := newWorld(t, d)
		if res, err := w.erase(erasure.Spec{Method: method}); err == nil || res.OK ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", method, err, want)
		}
	}
}

// TestOverwritePasses writes what the seed, or the pattern, says.
func TestOverwritePasses(t *testing.T) {
	for _, spec := range []erasure.Spec{{Method: erasure.Overwrite, Passes: 3}, {Method: erasure.Overwrite, Passes: 2,
		Pattern: "c0ffee"}} {
		w := newWorld(t, newDisk())
		res, err := w.erase(spec)
		if err != nil {
			t.Fatal(err)
		}
		if res.ReadBack.Wanted != diskSize/block || w.disk.left() != 0 {
			t.Errorf("%+v", res)
		}
		if got := w.disk.at(block)[:3]; spec.Pattern != "" &&
			string(got) != "\xff\xee\xc0" { // 4096 is one more than a multiple of 3
			t.Errorf("%x", got)
		}
	}
}

// TestNotOffered refuses, before anything is written, what a disk cannot or must not do, and says what it can.
func TestNotOffered(t *testing.T) {
	disks := map[string]func(d *fakeDisk){
		"frozen":      func(d *fakeDisk) { withATA(d).ata.frozen = true },
		"expired":     func(d *fakeDisk) { withATA(d).ata.expired = true },
		"no enhanced": func(d *fakeDisk) { withATA(d).ata.enhanced = false },
		"locked": func(d *fakeDisk) {
			a := withATA(d).ata
			a.locked, a.enabled, a.password = true, true,
				"theirs"
		},
		"sanitize frozen": func(d *fakeDisk) { withATA(d).ata.sanFrozen = true },
		"no sanitize":     func(d *fakeDisk) { withATA(d).ata.ops = nil },
		"sanitizes":       func(d *fakeDisk) { a := withATA(d).ata; a.running, a.stuck = 3, true },
		"failed":          func(d *fakeDisk) { withATA(d).ata.failed = true },
		"other serial":    func(d *fakeDisk) { withATA(d).ata.serial = "ANOTHER" },
		"other size":      func(d *fakeDisk) { withATA(d).ata.sectors = 4711 },
		"virtio":          func(d *fakeDisk) { d.plain = true },
		"two namespaces":  func(d *fakeDisk) { withNVMe(d).nvme.namespaces = []uint32{1, 3} },
		"all are erased":  func(d *fakeDisk) { n := withNVMe(d).nvme; n.namespaces, n.fna = []uint32{1, 3}, 1<<1|1<<2 },
		"no format":       func(d *fakeDisk) { withNVMe(d).nvme.oacs = 0 },
		"no crypto":       func(d *fakeDisk) { n := withNVMe(d).nvme; n.fna, n.sanicap = 0, 6 },
		"NVMe sanitizes":  func(d *fakeDisk) { n := withNVMe(d).nvme; n.running, n.stuck = 3, true },
		"another's NVMe":  func(d *fakeDisk) { withNVMe(d).nvme.serial = "ANOTHER" },
	}
	for _, c := range []struct{ disk, method, want string }{
		{"frozen", erasure.ATAErase, "SECURITY FREEZE LOCK at power-on"},
		{"frozen", erasure.ATAEnhanced, "Suspend the machine to RAM"},
		{"expired", erasure.ATAErase, "too many wrong passwords"},
		{"no enhanced", erasure.ATAEnhanced,
			"it has no enhanced erase; nothing was written; it can be erased by discard, " +
				"zero, " +
				"overwrite, ata-erase, "},
		{"locked", erasure.Zero, "locked with a password"},
		{"locked", erasure.ATABlockErase, "locked with a password"},
		{"sanitize frozen", erasure.ATACryptoScramble, "SANITIZE FREEZE LOCK"},
		{"no sanitize", erasure.ATAOverwrite, "does not have that sanitize operation"},
		{"sanitizes", erasure.Overwrite, "sanitizing itself"},
		{"sanitizes", erasure.ATAErase, "sanitizing itself"},
		{"failed", erasure.Zero, "its last sanitize failed"},
		{"other serial", erasure.ATAErase, "may reach another disk"},
		{"other size", erasure.ATABlockErase, "may reach another disk"},
		{"virtio", erasure.Discard, "offers no discard; nothing was written; it can be erased by zero, overwrite"},
		{"virtio", erasure.SecureDiscard, "offers no secure discard"},
		{"virtio", erasure.ATAErase, "no ATA commands reach it"},
		{"virtio", erasure.NVMeFormat, "is no NVMe namespace"},
		{"two namespaces", erasure.NVMeSanitizeBlock,
			"would also erase the controller's other namespaces [3], which the " +
				"session's " +
				"rule does not name"},
		{"all are erased", erasure.NVMeFormat, "would also erase the controller's other namespaces [3]"},
		{"no format", erasure.NVMeFormat, "does not have that format"},
		{"no crypto", erasure.NVMeFormatCrypto, "does not have that format"},
		{"no crypto", erasure.NVMeSanitizeCrypto, "does not have that sanitize operation"},
		{"NVMe sanitizes", erasure.NVMeFormat, "sanitizing itself"},
		{"another's NVMe", erasure.NVMeSanitizeBlock, "may reach another disk"},
	} {
		t.Run(c.disk+", "+c.method, func(t *testing.T) {
			d := newDisk()
			disks[c.disk](d)
			res, err := newWorld(t, d).erase(erasure.Spec{Method: c.method})
			if err == nil || res != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %+v; want %q", err, res, c.want)
			}
			if d.touched {
				t.Error("something was written")
			}
		})
	}
}

// TestOnlyTheRulesDisk refuses whatever is not the disk that the session's rule names, or is in use.
func TestOnlyTheRulesDisk(t *testing.T) {
	for want, change := range map[string]func(w *world){
		"is in use (sda1 is mounted at /)": func(w *world) { w.inUse = "sda1 is mounted at /" },
		"fits 2 disks": func(w *world) {
			w.disks = append(w.disks, session.Disk{Path: "/dev/sdb",
				Size: 1 << 40})
		},
		"this session chose": func(w *world) {
			w.first = &session.DiskID{Size: 1, Serial: "FIRST",
				Path: "/dev/sdz"}
		},
		"had 1073741824 a moment ago": func(w *world) { w.disks[0].Size = 1 << 30 },
		"method \"shred\" is none of": nil,
		"no disk":                     func(w *world) { w.disks = nil },
	} {
		t.Run(want, func(t *testing.T) {
			w, spec := newWorld(t, newDisk()), erasure.Spec{Method: erasure.Zero}
			if change == nil {
				spec.Method = "shred"
			} else {
				change(w)
			}
			res, err := w.erase(spec)
			if err == nil || res != nil || !strings.Contains(err.Error(), want) || w.disk.touched {
				t.Errorf("%v, %+v, written %v; want %q", err, res, w.disk.touched, want)
			}
		})
	}
}

// TestBadPlaces erases all that a disk with bad sectors lets be erased, and says what it did not.
func TestBadPlaces(t *testing.T) {
	for _, method := range []string{erasure.Zero, erasure.Overwrite} {
		d := newDisk()
		d.refuses = map[int64]bool{3 * mib: true, 3*mib + block: true, diskSize - block: true}
		w := newWorld(t, d)
		res, err := w.erase(erasure.Spec{Method: method, ReadBack: erasure.ReadAll})
		if err == nil || res.OK || res.Term != erasure.None || len(res.Unreached) == 0 {
			t.Fatalf("%s: %v, %+v", method, err, res)
		}
		if a := res.Unreached[0]; a.Kind != erasure.AreaRefused || a.Bytes != 3*block || !strings.Contains(a.Words,
			"offset 3145728") {
			t.Errorf("%s: %+v", method, a)
		}
		if n := d.left(); n != 3 || res.ReadBack.Wrong != 3 || res.ReadBack.FirstBad != 3*mib {
			t.Errorf("%s: %d blocks are left, %+v", method, n, res.ReadBack)
		}
	}
	d := newDisk()
	d.refuses = map[int64]bool{}
	for off := int64(0); off < diskSize; off += block {
		d.refuses[off] = true
	}
	if res, err := newWorld(t, d).erase(erasure.Spec{Method: erasure.Zero}); !errors.Is(err, errTooBad) || res.OK {
		t.Errorf("a disk that refuses everything: %v", err)
	}
}

// TestUnreadable cannot read back some of what was erased.
func TestUnreadable(t *testing.T) {
	d := newDisk()
	d.unread = map[int64]bool{mib: true}
	res, err := newWorld(t, d).erase(erasure.Spec{Method: erasure.Zero})
	if err == nil || res.OK || res.ReadBack.Unreadable != 1 || res.ReadBack.Wanted != diskSize/block-1 ||
		res.ReadBack.FirstBad != mib {
		t.Errorf("%v, %+v", err, res.ReadBack)
	}
}

// TestHidden names what a host protected area and an overlay hide, and gives no term where the method does not reach
// it.
func TestHidden(t *testing.T) {
	for _, c := range []struct {
		name, method string
		change       func(a *fakeATA)
		unreached    []string // kinds
		unseen       []string
		term         string
	}{
		{"HPA, host", erasure.Zero, func(a *fakeATA) { a.hidden = 2048 },
			[]string{erasure.AreaHPA, erasure.AreaReserve}, nil,
			erasure.None},
		{"HPA, security erase", erasure.ATAEnhanced, func(a *fakeATA) { a.hidden = 2048 },
			[]string{erasure.AreaReserve},
			[]string{erasure.AreaHPA},
			erasure.Purge},
		{"DCO, security erase", erasure.ATAEnhanced, func(a *fakeATA) { a.cut = 4096 }, []string{erasure.AreaDCO,
			erasure.AreaReserve}, nil, erasure.None},
		{"both, sanitize", erasure.ATAOverwrite, func(a *fakeATA) { a.hidden, a.cut = 2048, 4096 }, nil,
			[]string{erasure.AreaHPA, erasure.AreaDCO,
				erasure.AreaReserve}, erasure.Purge},
		{"both, host", erasure.Overwrite, func(a *fakeATA) { a.hidden, a.cut = 2048, 4096 }, []string{erasure.AreaHPA,
			erasure.AreaDCO, erasure.AreaReserve},
			nil, erasure.None},
		{"DCO locked", erasure.Zero, func(a *fakeATA) { a.dcoFrozen = true }, []string{erasure.AreaUnknown,
			erasure.AreaReserve}, nil, erasure.None},
		{"flash", erasure.ATAEnhanced, func(a *fakeATA) { a.flash = true }, []string{erasure.AreaReserve}, nil,
			erasure.Clear},
		{"flash, block erase", erasure.ATABlockErase, func(a *fakeATA) { a.flash = true }, nil,
			[]string{erasure.AreaReserve},
			erasure.Purge},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := withATA(newDisk())
			c.change(d.ata)
			w := newWorld(t, d)
			res, err := w.erase(erasure.Spec{Method: c.method})
			if err != nil {
				t.Fatal(err)
			}
			kinds := func(areas []erasure.Area) (k []string) {
				for _, a := range areas {
					k = append(k, a.Kind)
					if a.Kind == erasure.AreaHPA && a.Bytes != 2048*512 || a.Kind == erasure.AreaDCO &&
						a.Bytes != 4096*512 {
						t.Errorf("%+v", a)
					}
				}
				return k
			}
			if got := kinds(res.Unreached); !slices.Equal(got, c.unreached) {
				t.Errorf("unreached %q, want %q", got, c.unreached)
			}
			if got := kinds(res.Unseen); !slices.Equal(got, c.unseen) {
				t.Errorf("unseen %q, want %q", got, c.unseen)
			}
			if res.Term != c.term {
				t.Errorf("%s (%s), want %s", res.Term, res.Reason, c.term)
			}
			if len(c.unreached) > 1 && !strings.Contains(w.words, "hides") &&
				!strings.Contains(w.words, "not known: ") {
				t.Errorf("the plan does not name it: %s", w.words)
			}
		})
	}
}

// TestNamespaces formats one namespace of several: the others stay, and are named.
func TestNamespaces(t *testing.T) {
	d := withNVMe(newDisk())
	d.nvme.namespaces, d.nvme.unallocated = []uint32{1, 2, 7}, 1<<30
	res, err := newWorld(t, d).erase(erasure.Spec{Method: erasure.NVMeFormat})
	if err != nil {
		t.Fatal(err)
	}
	if res.Term != erasure.Clear || len(res.Unreached) != 2 || res.Unreached[0].Kind != erasure.AreaNamespaces ||
		res.Unreached[1].Kind != erasure.AreaUnallocated || !strings.Contains(res.Reason, "[2 7]") {
		t.Errorf("%s (%s), %+v", res.Term, res.Reason, res.Unreached)
	}
	if want := []uint32{1 | 1<<9}; !slices.Equal(d.nvme.formats, want) {
		t.Errorf("formatted %x, want %x: the format that it has, and user data erase", d.nvme.formats, want)
	}
}

// TestNeverEnds gives up a disk whose sanitize does not come to an end, and one that the server has other plans with.
func TestNeverEnds(t *testing.T) {
	for _, d := range []*fakeDisk{withATA(newDisk()), withNVMe(newDisk())} {
		method := erasure.ATABlockErase
		if d.ata != nil {
			d.ata.stuck = true
		} else {
			d.nvme.stuck = true
			method = erasure.NVMeSanitizeBlock
		}
		res, err := newWorld(t, d).erase(erasure.Spec{Method: method})
		if !errors.Is(err, errStalled) || res.OK || res.Term != erasure.None || res.Seconds < stalled.Seconds() ||
			res.Seconds > 2*stalled.Seconds() {
			t.Errorf("%s: %v after %.0f s", method, err, res.Seconds)
		}
	}
}

// TestSanitizeFails passes on what the disk says.
func TestSanitizeFails(t *testing.T) {
	for _, d := range []*fakeDisk{withATA(newDisk()), withNVMe(newDisk())} {
		method := erasure.ATAOverwrite
		if d.ata != nil {
			d.ata.willFail = true
		} else {
			d.nvme.willFail = true
			method = erasure.NVMeSanitizeWrite
		}
		res, err := newWorld(t, d).erase(erasure.Spec{Method: method})
		if err == nil || res.OK || !strings.Contains(err.Error(), "the sanitize failed") ||
			!strings.Contains(err.Error(),
				"destroy it") {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestSanitizeAgain goes on with a disk that was sanitizing itself when its machine lost power, and with one whose last
// sanitize failed.
func TestSanitizeAgain(t *testing.T) {
	for name, change := range map[string]func(a *fakeATA){
		"sanitizing itself already": func(a *fakeATA) { a.running, a.ends = 5, func() { a.done = true } },
		"nothing could be noted":    func(a *fakeATA) { a.failed = true },
	} {
		d := withATA(newDisk())
		change(d.ata)
		res, err := newWorld(t, d).erase(erasure.Spec{Method: erasure.ATABlockErase})
		if err != nil || d.left() != 0 {
			t.Fatalf("%s: %v, %d blocks are left", name, err, d.left())
		}
		if !strings.Contains(strings.Join(res.Notes, " "), name) {
			t.Errorf("notes %q say nothing of %q", res.Notes, name)
		}
	}
}

// TestPassword leaves no password behind, and erases a disk that has ours from an erase that was cut off.
func TestPassword(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		d := withATA(newDisk())
		d.ata.abortErase = true
		res, err := newWorld(t, d).erase(erasure.Spec{Method: erasure.ATAErase})
		if err == nil || res.OK || d.ata.enabled || d.ata.began[len(d.ata.began)-1] != "SECURITY DISABLE PASSWORD" {
			t.Errorf("%v, password set %v, %q", err, d.ata.enabled, d.ata.began)
		}
	})
	t.Run("ours", func(t *testing.T) {
		d := withATA(newDisk())
		d.ata.enabled, d.ata.locked, d.ata.password = true, true, ata.Password
		res, err := newWorld(t, d).erase(erasure.Spec{Method: erasure.ATAErase})
		if err != nil || d.ata.enabled || d.left() != 0 || len(res.Notes) == 0 {
			t.Errorf("%v, password set %v, %d blocks are left, %q", err, d.ata.enabled, d.left(), res.Notes)
		}
	})
	t.Run("theirs", func(t *testing.T) {
		d := withATA(newDisk())
		d.ata.enabled, d.ata.locked, d.ata.password = true, true, "theirs"
		_, err := newWorld(t, d).erase(erasure.Spec{Method: erasure.ATAErase})
		if err == nil || !strings.Contains(err.Error(), "is not diskcast's") || d.left() != diskSize/block {
			t.Errorf("%v", err)
		}
	})
}

// TestCancelled ends when the server has other plans, and says what goes on.
func TestCancelled(t *testing.T) {
	for method, want := range map[string]string{erasure.Zero: "", erasure.Discard: "",
		erasure.ATAErase:      "cannot be called back",
		erasure.ATABlockErase: "goes on sanitizing itself"} {
		d := full(method)
		d.cancelAt = func() bool { return d.ata == nil || len(d.ata.began) > 0 }
		if d.ata != nil {
			d.ata.erases = time.Hour
		}
		res, err := newWorld(t, d).erase(erasure.Spec{Method: method})
		if !errors.Is(err, errCancelled) || res.OK || !strings.Contains(err.Error(), want) || !d.touched {
			t.Errorf("%s: %v", method, err)
		}
	}
}
