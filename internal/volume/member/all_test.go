package member

import (
	"bytes"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestAll puts each signature to each of its places: All finds it there, and Places has its first block.
func TestAll(t *testing.T) {
	inPlaces := func(at int64) bool {
		for _, e := range Places(size) {
			if e.Offset <= at && at+sector <= e.End() {
				return true
			}
		}
		return false
	}
	for _, list := range [][]magic{signatures, far} {
		for _, m := range list {
			for _, at := range m.places(size) {
				if !inPlaces(at) {
					t.Errorf("%s at %d is not in Places", m.typ, at)
				}
				if m.check != nil {
					continue // more than the signature makes it one; Open's tests have them
				}
				b := make([]byte, size)
				copy(b[at+m.off:], m.sig)
				all, err := All(bytes.NewReader(b), size)
				if err != nil || len(all) == 0 || all[0].Type != m.typ || all[0].At != at {
					t.Errorf("%s at %d: %+v, %v", m.typ, at, all, err)
				}
			}
		}
	}
}

// TestAllLVM has a physical volume of pvcreate's, and several signatures at once.
func TestAllLVM(t *testing.T) {
	image := volumetest.Sparse(t, size)
	device, detach := volumetest.Loop(t, image, 512)
	volumetest.Run(t, "pvcreate", "-y", "--config", `devices { use_devicesfile=0 filter=["a|`+device+`|","r|.*|"] }`,
		device)
	detach()
	put(size-1024, "Intel Raid ISM Cfg Sig. ")(t, image)
	put(4<<20, "SKUL\xba\xbe")(t, image)
	f, n := volumetest.Open(t, image)
	all, err := All(f, n)
	if err != nil || len(all) != 3 || all[0].Type != "LVM2_member" || all[1].Type != "isw_raid_member" ||
		all[2].Type != "crypto_LUKS" {
		t.Errorf("%+v, %v", all, err)
	}
}

func FuzzAll(f *testing.F) {
	f.Add([]byte("LABELONE\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00LVM2 001"), int64(512))
	f.Fuzz(func(t *testing.T, p []byte, at int64) {
		b := make([]byte, 1<<20)
		copy(b[min(max(at, 0), int64(len(b))):], p)
		all, err := All(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.At < 0 || f.At >= int64(len(b)) || f.What == "" {
				t.Errorf("%+v", f)
			}
		}
	})
}
