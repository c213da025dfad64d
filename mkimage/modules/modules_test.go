package modules

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/kmod/kmodtest"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func pack(t *testing.T, suffix string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch suffix {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree has a module of each group, one outside, and dependencies that cross groups.
func tree(t *testing.T) *Tree {
	t.Helper()
	m := func(fields ...string) *fstest.MapFile { return &fstest.MapFile{Data: kmodtest.Module(fields...)} }
	dir := fstest.MapFS{
		"kernel/drivers/net/ethernet/intel/e1000.ko": m("name=e1000", "alias=pci:v8086*", "depends=mii",
			"firmware=e1000/a.bin", "firmware=e1000/b-*.bin"),
		"kernel/drivers/net/mii.ko":              m("name=mii"),
		"kernel/drivers/net/wireless/ath.ko":     m("name=ath"),
		"kernel/drivers/net/virtio_net.ko":       m("name=virtio_net", "depends=virtio"),
		"kernel/drivers/virtio/virtio_mem.ko":    m("name=virtio_mem"),
		"kernel/drivers/scsi/sd_mod.ko":          m("name=sd_mod", "depends=scsi_mod", "firmware=none.bin"),
		"kernel/fs/fat/vfat.ko":                  m("name=vfat", "depends=fat"),
		"kernel/fs/fat/fat.ko":                   m("name=fat"),
		"kernel/fs/fat/msdos.ko":                 m("name=msdos"),
		"kernel/fs/ext4/ext4.ko":                 m("name=ext4", "softdep=pre: crc32c"),
		"kernel/crypto/crc32c_generic.ko":        m("name=crc32c_generic", "alias=crc32c"),
		"kernel/drivers/gpu/i915.ko":             m("name=i915"),
		"updates/dkms/drivers/net/ethernet/x.ko": m("name=x"),
		"modules.builtin":                        {Data: []byte("kernel/drivers/scsi/scsi_mod.ko\n")},
	}
	dir["kernel/drivers/virtio/virtio.ko.xz"] = &fstest.MapFile{Data: pack(t, ".xz", kmodtest.Module("name=virtio"))}
	dir["kernel/drivers/hid/hid.ko.zst"] = &fstest.MapFile{Data: pack(t, ".zst", kmodtest.Module("name=hid"))}
	// An old module that does not say its name.
	dir["kernel/drivers/md/dm-mod.ko.gz"] = &fstest.MapFile{Data: pack(t, ".gz", kmodtest.Module("license=GPL"))}
	tr, err := Scan([]fs.FS{dir})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func moduleNames(list []*kmod.Module) string {
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	return strings.Join(names, " ")
}

func TestChoose(t *testing.T) {
	tr := tree(t)
	for _, c := range []struct{ selection, want string }{
		{"net", "e1000 mii virtio_net virtio"},
		{"storage", "dm_mod sd_mod virtio"},
		{"fs", "crc32c_generic ext4 fat vfat"},
		{"input", "hid"},
		{"none", ""},
		{"ath", "ath"},
		{"pci:v8086d100E", "e1000 mii"},
		{"vfat,msdos,dm-mod", "dm_mod fat msdos vfat"},
		{"scsi_mod", ""},
		{"all", "crc32c_generic i915 hid dm_mod e1000 mii virtio_net ath sd_mod virtio virtio_mem ext4 fat msdos " +
			"vfat x"},
	} {
		got, err := tr.Choose(strings.Split(c.selection, ","))
		if err != nil || moduleNames(got) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.selection, moduleNames(got), err, c.want)
		}
	}
	if _, err := tr.Choose([]string{"nothing-like-it"}); err == nil ||
		!strings.Contains(err.Error(), "neither a group (default, all, fs, health, input, net, none, storage)") {
		t.Errorf("unknown word: %v", err)
	}
}

func TestRead(t *testing.T) {
	tr := tree(t)
	for module, want := range map[string]string{
		"virtio": "kernel/drivers/virtio/virtio.ko", "hid": "kernel/drivers/hid/hid.ko",
		"dm_mod": "kernel/drivers/md/dm-mod.ko", "fat": "kernel/fs/fat/fat.ko",
	} {
		m, _ := tr.Index.Module(module)
		name, data, err := tr.Read(m)
		if err != nil || name != want || !bytes.HasPrefix(data, []byte("\x7fELF")) {
			t.Errorf("%s: %s, %d bytes, %v", module, name, len(data), err)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	good := kmodtest.Module("name=a")
	for name, c := range map[string]struct {
		dirs []fs.FS
		want string
	}{
		"not a module": {[]fs.FS{fstest.MapFS{"a.ko": {Data: []byte("text")}}}, "a.ko"},
		"bad xz":       {[]fs.FS{fstest.MapFS{"a.ko.xz": {Data: []byte("text")}}}, "a.ko.xz"},
		"twice": {[]fs.FS{fstest.MapFS{"a.ko": {Data: good}}, fstest.MapFS{"b/a.ko": {Data: good}}},
			"is there twice"},
		"builtin": {[]fs.FS{fstest.MapFS{"modules.builtin": {Data: []byte("text")}}}, "not a module"},
	} {
		if _, err := Scan(c.dirs); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestFirmware(t *testing.T) {
	list, err := tree(t).Choose([]string{"net", "storage"})
	if err != nil {
		t.Fatal(err)
	}
	dirs := []fs.FS{
		fstest.MapFS{"e1000/a.bin.xz": {Data: pack(t, ".xz", []byte("a"))}, "e1000/b-2.bin": {Data: []byte("b2")},
			"other.bin": {Data: []byte("x")}},
		fstest.MapFS{"e1000/b-1.bin.zst": {Data: pack(t, ".zst", []byte("b1"))},
			"e1000/b-2.bin": {Data: []byte("second")}},
	}
	blobs, missing, err := Firmware(dirs, list)
	if err != nil {
		t.Fatal(err)
	}
	want := []Blob{{"e1000/a.bin", []byte("a")}, {"e1000/b-1.bin", []byte("b1")}, {"e1000/b-2.bin", []byte("b2")}}
	if d := cmp.Diff(want, blobs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"sd_mod"}, missing); d != "" {
		t.Error(d)
	}
	if _, missing, err := Firmware(nil, list); err != nil || len(missing) != 2 {
		t.Errorf("without firmware: %v, %v", missing, err)
	}
}

func TestGroups(t *testing.T) {
	for _, g := range GroupNames() {
		if About(g) == "" {
			t.Errorf("group %s is not described", g)
		}
	}
	for _, g := range Default {
		if _, ok := groups[g]; !ok {
			t.Errorf("default group %s is none", g)
		}
	}
}
