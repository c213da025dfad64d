package bootos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const (
	passphrase  = "correct horse"
	encryptedAt = 1 << 20
	pbkdf2      = " --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
)

// encrypt has cryptsetup encrypt a file's contents, and returns the volume's UUID as GRUB writes it.
func encrypt(t *testing.T, file, words string) string {
	t.Helper()
	need.Tools(t, "cryptsetup", "qemu-img")
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	write(t, key, passphrase)
	if strings.Contains(words, "luks1") {
		plain := volumetest.Copy(t, file)
		if err := os.Truncate(file, fi.Size()+4<<20); err != nil {
			t.Fatal(err)
		}
		volumetest.Run(t, "cryptsetup", append(strings.Fields("luksFormat -q "+words), "--key-file", key, file)...)
		volumetest.Run(t, "qemu-img", "convert", "-n", "--object", "secret,id=s,file="+key, plain,
			"--target-image-opts", "driver=luks,key-secret=s,file.driver=file,file.filename="+file)
	} else {
		if err := os.Truncate(file, fi.Size()+32<<20); err != nil {
			t.Fatal(err)
		}
		volumetest.Run(t, "cryptsetup", append(strings.Fields("reencrypt --encrypt -q --reduce-device-size 32M "+words),
			"--key-file", key, file)...)
	}
	return strings.ReplaceAll(strings.TrimSpace(volumetest.Run(t, "cryptsetup", "luksUUID", file)), "-", "")
}

// encryptedDisk is a machine's with a BIOS that was installed with all of it encrypted: GRUB's core has commands inside
// that open the volume, as grub-install writes them with GRUB_ENABLE_CRYPTODISK. inside is "" for a file
// system and "lvm" for a logical volume with it.
func encryptedDisk(t *testing.T, words, inside string) (disk, uuid string) {
	t.Helper()
	need.Root(t)
	need.Tools(t, "cryptsetup", "qemu-img", "sfdisk", "mke2fs")
	config := `set timeout=5
menuentry 'Debian' {
	insmod cryptodisk
	insmod luks
	insmod gcry_rijndael
	insmod gcry_sha256
	cryptomount -u UUID
	set root='cryptouuid/UUID'
	search --no-floppy --fs-uuid --set=root --hint='HINT' ` + rootUUID + `
	linux /boot/vmlinuz-6.1 root=/dev/mapper/root ro
	initrd /boot/initrd.img-6.1
}
`
	// The UUID is cryptsetup's to make, and the configuration in the volume has it: so it is given.
	const id = "5f3c0f8e-0b5f-4a51-9d2e-0c6d5f1f2a01"
	uuid = strings.ReplaceAll(id, "-", "")
	hint := "cryptouuid/" + uuid
	if inside == "lvm" {
		hint = "lvm/my--vg-ro--ot"
	}
	config = strings.NewReplacer("UUID", uuid, "HINT", hint).Replace(config)
	file := bootFiles(t, 30, rootUUID, "the kernel", map[string]string{"boot/grub/grub.cfg": config, "etc/fstab": ""})
	if inside == "lvm" {
		pv := lvmFile(t, 40<<20, lvcreate+"-L 32M -n ro-ot my-vg")
		copyTo(t, file, pv, 1<<20)
		file = pv
	}
	if got := encrypt(t, file, words+" --uuid "+id); got != uuid {
		t.Fatalf("UUID %s", got)
	}
	core := content(t, mkimage(t, "i386-pc", "("+hint+")/boot/grub", "cryptomount -u "+uuid+"\nsearch.fs_uuid "+
		rootUUID+" root "+hint+"\nset prefix=($root)'/boot/grub'\n"))
	gap := make([]byte, encryptedAt)
	copy(gap, content(t, "/usr/lib/grub/i386-pc/boot.img")[:codeBytes])
	binary.LittleEndian.PutUint64(gap[0x5c:], 1)
	copy(gap[512:], core)
	binary.LittleEndian.PutUint64(gap[512+500:], 2)
	binary.LittleEndian.PutUint16(gap[512+508:], uint16((len(core)-1)/512))
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	disk = volumetest.Sparse(t, encryptedAt+fi.Size()+1<<20)
	writeAt(t, disk, 0, gap)
	volumetest.RunIn(t, fmt.Sprintf("label: dos\nstart=%d, size=%d, type=linux\n", encryptedAt/512, fi.Size()/512),
		"sfdisk", "-q", "--no-reread", disk)
	copyTo(t, file, disk, encryptedAt)
	return disk, uuid
}

// TestEncrypted follows a GRUB into a volume that the site's passphrase opens, and leaves alone what it does not.
// GRUB's own tool must find the kernel in the same place.
func TestEncrypted(t *testing.T) {
	for _, tt := range []struct {
		name, words, inside, passphrase string
		device                          string // of the kernel; empty for a restart
		why                             string
	}{
		{"luks2", "--type luks2" + pbkdf2, "", passphrase, "the encrypted volume of partition 1", ""},
		{"luks1", "--type luks1 --pbkdf-force-iterations 1000", "", passphrase,
			"the encrypted volume of partition 1", ""},
		{"LVM in luks1", "--type luks1 --pbkdf-force-iterations 1000", "lvm", passphrase,
			"logical volume my-vg/ro-ot", ""},
		{"LVM in luks2", "--type luks2" + pbkdf2, "lvm", passphrase, "logical volume my-vg/ro-ot", ""},
		{"no passphrase", "--type luks2" + pbkdf2, "", "", "",
			"is not a partition of this disk (partition 1: crypto_LUKS is no file system that"},
		{"a wrong passphrase", "--type luks2" + pbkdf2, "", "wrong", "",
			"partition 1: it is encrypted, and was not opened: the passphrase opens none of its key slots"},
		{"argon2", "--type luks2 --pbkdf argon2id --pbkdf-memory 64 --pbkdf-force-iterations 4", "", passphrase, "",
			"whose key slot goes by Argon2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk, uuid := encryptedDisk(t, tt.words, tt.inside)
			before := sum(t, disk)
			s, err := LookWith(t.Context(), disk, false, tt.passphrase, slog.New(slog.DiscardHandler))
			if sum(t, disk) != before {
				t.Error("the disk was written to")
			}
			var restart *Restart
			switch {
			case tt.device == "":
				if !errors.As(err, &restart) || !strings.Contains(err.Error(), tt.why) {
					t.Errorf("got %v, %v, want %q", s, err, tt.why)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			if s.Args != "BOOT_IMAGE=/boot/vmlinuz-6.1 root=/dev/mapper/root ro" || s.Kernel.Device >= 0 ||
				len(s.Initrds) != 1 ||
				!strings.Contains(s.Words(), "GRUB would wait for the passphrase of partition 1") {
				t.Errorf("%+v", s)
			}
			name := "cryptouuid/" + uuid
			if tt.inside != "" {
				name = "lvm/my--vg-ro--ot"
			}
			grub := exec.Command(need.Tool(t, "grub-fstest"), "-C", "-c", "1", disk, "cat",
				"("+name+")/boot/vmlinuz-6.1")
			grub.Stdin = strings.NewReader(passphrase + "\n")
			if out, err := grub.Output(); err != nil || !strings.HasSuffix(string(out), "the kernel") {
				t.Errorf("GRUB has %q in %s (%v)", out, name, err)
			}
		})
	}
}

// TestEncryptedReads has the agent read the files that it would start, and everything gone afterwards.
func TestEncryptedReads(t *testing.T) {
	disk, uuid := encryptedDisk(t, "--type luks2"+pbkdf2, "lvm")
	fi, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(t.TempDir(), "part")
	volumetest.Run(t, "dd", "if="+disk, "of="+part, "bs=1M", "status=none", fmt.Sprintf("skip=%d", encryptedAt>>20),
		fmt.Sprintf("count=%d", (fi.Size()-encryptedAt)>>20-1))
	loop, _ := volumetest.Loop(t, part, 512, "-r")
	dir := t.TempDir()
	key := &Key{Passphrase: passphrase, Memory: 1 << 30, Dir: filepath.Join(dir, "opened")}
	all, encrypted, detach := assemble(t.Context(), []Device{{Number: 2, Path: loop}}, nil, key)
	v := Mount(filepath.Join(dir, "os"), all)
	if len(all) != 2 || len(encrypted) != 1 || encrypted[0] != (grub.Encrypted{UUID: uuid, Device: 2}) ||
		all[1].Crypt != uuid || !v.Holds(grub.Crypto) || len(v.Skipped) > 0 {
		t.Fatalf("%+v, %+v, %v", all, encrypted, v)
	}
	if len(v.Numbers()) != 0 {
		t.Errorf("loaders that open nothing see %v", v.Numbers())
	}
	b, err := v.ReadFile(all[1].Number, "/boot/vmlinuz-6.1", 100)
	if err != nil || string(b) != "the kernel" {
		t.Errorf("%q, %v", b, err)
	}
	if err := v.Unmount(); err != nil {
		t.Error(err)
	}
	detach()
	if _, err := os.Stat(key.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s stays: %v", key.Dir, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || bytes.Contains(mounts, []byte(dir)) {
		t.Errorf("something is still mounted: %s, %v", mounts, err)
	}
}

// TestEncryptedTwice has the same volume a second time, on this disk or on another: which one GRUB opens is not known.
func TestEncryptedTwice(t *testing.T) {
	file := bootFiles(t, 20, rootUUID, "k", nil)
	uuid := encrypt(t, file, "--type luks2"+pbkdf2)
	need.Root(t)
	loop, _ := volumetest.Loop(t, file, 512, "-r")
	key := &Key{Passphrase: passphrase, Memory: 1 << 30, Dir: filepath.Join(t.TempDir(), "opened")}
	one := []Device{{Number: 1, Path: loop}}
	_, encrypted, detach := assemble(t.Context(), append(one, Device{Number: 2, Path: loop}), nil, key)
	detach()
	if len(encrypted) != 2 || encrypted[0].Why != errTwice.Error() || encrypted[1].Why != errTwice.Error() {
		t.Errorf("%+v", encrypted)
	}
	others := &neighbours{crypts: map[string]bool{uuid: true}}
	_, encrypted, detach = assemble(t.Context(), one, others, key)
	detach()
	if len(encrypted) != 1 || !strings.Contains(encrypted[0].Why, "another disk of the machine") {
		t.Errorf("%+v", encrypted)
	}
}

// TestAvailable reads the kernel's word for free memory.
func TestAvailable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "meminfo")
	write(t, name, "MemTotal:        8146228 kB\nMemFree:          123 kB\nMemAvailable:    1024 kB\n")
	if got := available(name); got != 1<<20 {
		t.Errorf("%d bytes", got)
	}
	if got := available(name + "-not"); got != 0 {
		t.Errorf("%d bytes of a file that is not there", got)
	}
}

// TestEncryptedInside has the volume in a half of a RAID 1, and in a logical volume.
func TestEncryptedInside(t *testing.T) {
	need.Root(t)
	fs := func() (file, uuid string) {
		file = bootFiles(t, 20, rootUUID, "the kernel", nil)
		return file, encrypt(t, file, "--type luks1 --pbkdf-force-iterations 1000")
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, file string) (part string)
	}{
		{"RAID 1", func(t *testing.T, file string) string {
			part := volumetest.Sparse(t, firstSize)
			at, p := superblock("1.2", firstSize, nil)
			writeAt(t, part, at, p)
			copyTo(t, file, part, 1<<20)
			return part
		}},
		{"LVM", func(t *testing.T, file string) string {
			pv := lvmFile(t, 80<<20, lvcreate+"-L 32M -n boot my-vg")
			copyTo(t, file, pv, 1<<20)
			return pv
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, uuid := fs()
			loop, _ := volumetest.Loop(t, tt.make(t, file), 512, "-r")
			dir := t.TempDir()
			key := &Key{Passphrase: passphrase, Memory: 1 << 30, Dir: filepath.Join(dir, "opened")}
			all, encrypted, detach := assemble(t.Context(), []Device{{Number: 3, Path: loop}}, nil, key)
			defer detach()
			v := Mount(filepath.Join(dir, "os"), all)
			defer func() {
				if err := v.Unmount(); err != nil {
					t.Error(err)
				}
			}()
			if len(encrypted) != 1 || encrypted[0] != (grub.Encrypted{UUID: uuid, Device: 3, Nested: true}) ||
				len(all) != 2 {
				t.Fatalf("%+v, %+v", all, encrypted)
			}
			if b, err := v.ReadFile(all[1].Number, "/boot/vmlinuz-6.1", 100); err != nil || string(b) != "the kernel" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}
