package efi

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// grubMkimage makes a GRUB of a format with a prefix and a configuration inside, as grub-install does.
func grubMkimage(t *testing.T, format, prefix, config string, modules ...string) string {
	t.Helper()
	tool := need.Tool(t, "grub-mkimage")
	dir := t.TempDir()
	args := []string{"-O", format, "-p", prefix, "-o", filepath.Join(dir, "grub")}
	if config != "" {
		if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-c", filepath.Join(dir, "config"))
	}
	args = append(append(args, "normal", "search", "part_gpt", "ext2"), modules...)
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(dir, "grub")
}

// TestGRUBImage reads what grub-mkimage put into GRUBs.
func TestGRUBImage(t *testing.T) {
	for _, want := range []GRUBImage{
		{Prefix: "(,gpt2)/boot/grub"},
		{Prefix: "/EFI/debian", Config: "search.fs_uuid 5b3c0f8e root\nset prefix=($root)/boot/grub\n"},
	} {
		t.Run("x86_64-efi"+want.Prefix, func(t *testing.T) {
			f, err := os.Open(grubMkimage(t, "x86_64-efi", want.Prefix, want.Config))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			fi, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			p, err := Read(f, fi.Size())
			if err != nil || p.Kind != GRUB {
				t.Fatalf("%+v, %v", p, err)
			}
			got, err := p.GRUBImage()
			if err != nil || !cmp.Equal(*got, want) {
				t.Errorf("%+v, %v, want %+v", got, err, want)
			}
		})
		t.Run("i386-pc"+want.Prefix, func(t *testing.T) {
			core, err := os.ReadFile(grubMkimage(t, "i386-pc", want.Prefix, want.Config))
			if err != nil {
				t.Fatal(err)
			}
			// As grub-install puts it into the gap behind a table: the first sector names sector 34, the core's first
			// sector the rest.
			disk := make([]byte, 34*512+len(core)+512)
			binary.LittleEndian.PutUint64(disk[0x5c:], 34)
			copy(disk[34*512:], core)
			binary.LittleEndian.PutUint64(disk[34*512+500:], 35)
			binary.LittleEndian.PutUint16(disk[34*512+508:], uint16((len(core)-512+511)/512))
			got, err := ReadBIOSCore(bytes.NewReader(disk), disk[:512])
			if err != nil || !cmp.Equal(*got, want) {
				t.Errorf("%+v, %v, want %+v", got, err, want)
			}
			disk[34*512+512+8] = 0xff
			if got, err := ReadBIOSCore(bytes.NewReader(disk[:34*512+2048]), disk[:512]); err == nil {
				t.Errorf("a core that is cut off gave %+v", got)
			}
		})
	}
}

// TestBLSUKI tells GRUB's own module for boot entries from Red Hat's, which may be there too.
func TestBLSUKI(t *testing.T) {
	b, err := os.ReadFile(grubMkimage(t, "x86_64-efi", "/EFI/x", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		search, normal string // what these modules are called instead
		want           bool
	}{{"search", "normal", false}, {"blsuki", "normal", true}, {"blsuki", "blscfg", false}} {
		b := bytes.ReplaceAll(b, []byte("\x00search\x00"), []byte("\x00"+tt.search+"\x00"))
		b = bytes.ReplaceAll(b, []byte("\x00normal\x00"), []byte("\x00"+tt.normal+"\x00"))
		p, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if im, err := p.GRUBImage(); err != nil || im.BLSUKI != tt.want {
			t.Errorf("%s and %s: %+v, %v", tt.search, tt.normal, im, err)
		}
	}
}

// TestArgon2 tells a GRUB that has the module from one whose module for LUKS2 only has the words.
func TestArgon2(t *testing.T) {
	b, err := os.ReadFile(grubMkimage(t, "x86_64-efi", "/EFI/debian", "", "luks2"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat("/usr/lib/grub/x86_64-efi/argon2.mod")
	has := err == nil // since GRUB 2.14, where that of LUKS2 brings it along
	argon2 := func(b []byte) bool {
		t.Helper()
		p, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		im, err := p.GRUBImage()
		if err != nil {
			t.Fatal(err)
		}
		return im.Argon2
	}
	if got := argon2(b); got != has || !bytes.Contains(b, []byte("argon2id")) {
		t.Errorf("got %v, want %v", got, has)
	}
	// A module's name is in it in this form: another one is made that of Argon2.
	other := bytes.Replace(b, []byte("\x00search\x00"), []byte("\x00argon2\x00"), 1)
	if bytes.Equal(b, other) || !argon2(other) {
		t.Error("a module of that name is not found")
	}
}
