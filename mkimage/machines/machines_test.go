package machines

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod/kmodtest"
	"github.com/diskcast/diskcast/mkimage/modules"
)

// inventory is two machines as the server shows them, the second with a card that no kernel here knows.
const inventory = `[{"id":"a","machine":"m1","name":"lab-1","inventory":{"memory":536870912,"vendor":"QEMU",
"product":"PC",
"nics":[],"disks":[],"hardware":{"devices":[
{"alias":"pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00","driver":"e1000","module":"e1000"},
{"alias":"pci:v00008086d00007010sv00001AF4sd00001100bc01sc01i80","driver":"ata_piix","module":"ata_piix"},
{"driver":"RTL8211F","module":"realtek"},
{"alias":"pci:v00001234d00001111sv0sd0bc03sc00i00"}],
"firmware":["e1000/b.bin","gpu.bin","loose.bin","*","../x"]}}},
{"id":"b","machine":"m2","inventory":{"memory":17179869184,"hardware":{"devices":[
{"alias":"pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00","driver":"e1000","module":"e1000"},
{"alias":"pci:v0000DEADd0000BEEFsv00001AF4sd00001100bc01sc07i00"},
{"alias":"virtio:d00000002v00001AF4","driver":"virtio_blk"},
{"alias":"usb:v0BDAp8153","driver":"r8152","module":"r8152"},
{"alias":"pci:v00008086d00001111sv0sd0bc02sc00i00"}],"more":3}}}]`

func file(text string) File { return File{"m.json", strings.NewReader(text)} }

func tree(t *testing.T) *modules.Tree {
	t.Helper()
	m := func(fields ...string) *fstest.MapFile { return &fstest.MapFile{Data: kmodtest.Module(fields...)} }
	tr, err := modules.Scan([]fs.FS{fstest.MapFS{
		"kernel/drivers/net/ethernet/intel/e1000.ko": m("name=e1000", "alias=pci:v00008086d0000100Esv*sd*bc*sc*i*",
			"depends=mii", "firmware=e1000/a.bin", "firmware=e1000/b.bin"),
		"kernel/drivers/net/mii.ko":            m("name=mii"),
		"kernel/drivers/net/phy/realtek.ko":    m("name=realtek"),
		"kernel/drivers/net/ethernet/other.ko": m("name=other", "alias=pci:v00001111*"),
		"kernel/drivers/net/wireless/iwl.ko":   m("name=iwl", "alias=pci:v00008086d00001111sv*"),
		"kernel/drivers/scsi/sd_mod.ko":        m("name=sd_mod"),
		"kernel/drivers/gpu/bochs.ko":          m("name=bochs", "alias=pci:v00001234d00001111*", "firmware=gpu.bin"),
		"kernel/fs/ext4/ext4.ko":               m("name=ext4", "softdep=pre: crc32c"),
		"kernel/crypto/crc32c_generic.ko":      m("name=crc32c_generic", "alias=crc32c"),
		"kernel/drivers/char/ipmi/ipmi_si.ko":  m("name=ipmi_si"),
		"modules.builtin": {Data: []byte(
			"kernel/drivers/block/virtio_blk.ko\nkernel/drivers/ata/ata_piix.ko\n")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestChoose(t *testing.T) {
	list, err := Read(file(inventory))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Choose(tree(t), append([]string{"ipmi_si"}, modules.Default...), list)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range c.Modules {
		names = append(names, m.Name)
	}
	if got, want := strings.Join(names, " "), "crc32c_generic ipmi_si e1000 mii realtek sd_mod ext4"; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
	want := []Taken{{"crc32c_generic", nil, dependency}, {"ipmi_si", nil, byName},
		{"e1000", []string{"lab-1", "m2"}, ""},
		{"mii", nil, dependency}, {"realtek", []string{"lab-1"}, ""}, {"sd_mod", nil, everyNode},
		{"ext4", nil, everyNode}}
	if d := cmp.Diff(want, c.Taken); d != "" {
		t.Error(d)
	}
	left := []LeftOut{{Module: "bochs", Why: notSelected, Machines: []string{"lab-1"}},
		{Module: "other", Why: nobodyAsks}, {Module: "iwl", Why: notSelected, Machines: []string{"m2"}},
		{Firmware: "*", Why: notAFile, Machines: []string{"lab-1"}},
		{Firmware: "../x", Why: notAFile, Machines: []string{"lab-1"}},
		{Firmware: "gpu.bin", Why: "it is for bochs, which is not taken", Machines: []string{"lab-1"}}}
	if d := cmp.Diff(left, c.LeftOut); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"loose.bin"}, c.Firmware); d != "" {
		t.Error(d)
	}
	if len(c.Asked) != 2 || len(c.Asked["e1000/b.bin"]) != 1 {
		t.Errorf("asked: %v", c.Asked)
	}
	notes := strings.Join(c.Notes(), "\n")
	for _, want := range []string{
		"m2: disk controller or network card PCI dead:beef: no module of this kernel drives it",
		"m2: disk controller or network card PCI 8086:1111: iwl drives it, which is not among --modules",
		"m2: device usb:v0BDAp8153, driven by r8152 when it was seen: no module of this kernel drives it",
		"m2 has 3 devices more",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
	if len(c.Undriven) != 3 {
		t.Errorf("undriven: %v", c.Undriven)
	}
	words := strings.Join(c.Words(), "\n")
	for _, want := range []string{
		"for 2 machines: 2 modules for their hardware (e1000, realtek); 3 that every node needs",
		"1 modules that no machine asks for", "have hardware for it: bochs, iwl, gpu.bin: not among",
		"left out, since it is no name of a firmware file, though the inventory says that machines asked for it: " +
			"*, ../x",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("no %q in\n%s", want, words)
		}
	}
	m := c.Memory(600 << 20)
	if notes := strings.Join(m.Notes(), "\n"); !strings.Contains(notes, "these machines have: lab-1 (512 MiB):") {
		t.Errorf("short of memory: %s", notes)
	}
	if got := m.Words(); got != "a node needs about 600 MiB of memory for it; the least that these machines have is "+
		"512 MiB (lab-1)" {
		t.Error(got)
	}
	if m := c.Memory(512 << 20); m.Notes() != nil {
		t.Errorf("short of memory: %v", m.Notes())
	}
	c.Machines[0].Memory = 0
	if notes := c.Memory(1 << 20).Notes(); len(notes) != 1 || !strings.Contains(notes[0], "is not known, and was not "+
		"held against the 1 MiB that a node needs: lab-1") {
		t.Errorf("of unknown memory: %v", notes)
	}
}

// TestOf: a machine of another architecture gets nothing from this kernel, and is named.
func TestOf(t *testing.T) {
	var text strings.Builder
	for _, kernel := range []string{"6.1.0-50-cloud-amd64", "6.12.117+deb13-arm64", "6.9.1-200.fc40.x86_64",
		"5.14.0-427.el9.aarch64", "6.9.1-arch1-1", ""} {
		fmt.Fprintf(&text, `{"name":"%s","inventory":{"kernel":"%s","hardware":{"devices":[{"alias":"x"}]}}}`,
			kernel, kernel)
	}
	list, err := Read(file(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	for arch, want := range map[bootdir.Arch]string{bootdir.AMD64: "5.14.0-427.el9.aarch64, 6.12.117+deb13-arm64",
		bootdir.ARM64: "6.1.0-50-cloud-amd64, 6.9.1-200.fc40.x86_64"} {
		own, note, err := Of(arch, list)
		if err != nil || len(own) != 4 || !strings.HasSuffix(note, "than "+string(arch)+": "+want) {
			t.Errorf("%s: %d, %q, %v", arch, len(own), note, err)
		}
	}
	if _, _, err := Of(bootdir.ARM64, list[:1]); err != nil {
		t.Error(err)
	}
	if _, _, err := Of(bootdir.AMD64, list[:1]); err == nil ||
		!strings.Contains(err.Error(), "no machine in it is of") {
		t.Errorf("machines of another architecture alone: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":  {"", "no machine in it"},
		"no list":  {"[]", "no machine in it"},
		"not JSON": {"machines:", "m.json: byte 1: invalid character 'm'"},
		"cut": {" \n" + inventory[:500], "it is cut off: it ends at byte 502, in the middle of what begins at byte " +
			"0; write it anew with"},
		"second cut":        {inventory + `{"id":`, fmt.Sprintf("it ends at byte %d", len(inventory)+6)},
		"mark":              {"\ufeff" + inventory, "begins with a byte order mark (UTF-8)"},
		"UTF-16":            {"\xff\xfe[\x00]\x00", "it is in UTF-16"},
		"UTF-16, the other": {"\xfe\xff\x00[\x00]", "it is in UTF-16"},
		"another list":      {`["a"]`, "diskcast machine inventory"},
		"no machine":        {`{}`, "document 1 in it is not of a machine; `diskcast machine inventory`"},
		"null":              {"null", "document 1 in it is not of a machine"},
		"a list of its own": {inventory + `{"machines":[]}`, "document 3 in it is not of a machine"},
		"no hardware": {`{"id":"x","inventory":{"memory":1}} [{"machine":"m7"}]`,
			"x, m7: nothing is known of the hardware"},
	} {
		if _, err := Read(file(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// TestReadSeveral has an error name the file that it is in, at its place there.
func TestReadSeveral(t *testing.T) {
	one, two := file(inventory), file(inventory[:500])
	one.Name, two.Name = "one.json", "two.json"
	if _, err := Read(one, two); err == nil || !strings.HasPrefix(err.Error(), "two.json: it is cut off: it ends at "+
		"byte 500, in the middle of what begins at byte 0") {
		t.Errorf("error %v", err)
	}
	if list, err := Read(file("[]"), file(inventory)); err != nil || len(list) != 2 {
		t.Errorf("%d machines, error %v", len(list), err)
	}
	if _, err := Read(file("[]"), file("")); err == nil || err.Error() != "m.json,m.json: no machine in it" {
		t.Errorf("no machine in two files: error %v", err)
	}
}

// FuzzRead: what is read is bounded and printable, and a choice comes of it.
func FuzzRead(f *testing.F) {
	f.Add(inventory)
	f.Add(`{"id":"\u001b[0m","inventory":{"hardware":{"devices":[{"alias":"*"},{"alias":"pci:vbc"},{"module":"[a"}]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Read(file(text))
		if err != nil {
			return
		}
		c, err := Choose(tree(t), modules.Default, list)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range append(c.Words(), c.Notes()...) {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q is printed", line)
			}
		}
	})
}
