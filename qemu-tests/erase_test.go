package qemutests

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// eraseResult is what the machine says of one disk.
type eraseResult struct {
	Order  string
	Error  string
	Result *struct {
		OK        bool
		Seed      string
		Term      string
		Method    string
		Disk      struct{ Serial, Model string }
		ReadBack  struct{ Blocks, Zeros, Wanted, Kept, Witnesses int64 } `json:"read_back"`
		Unreached []struct{ Kind string }
	}
}

// TestErase has one machine erase emulated disks, each by another method, with the drivers of a Debian kernel between.
// What counts is what is in the disks' files on the host afterwards. Disks that nothing names, or that cannot do what
// is asked, keep every byte.
func TestErase(t *testing.T) {
	if os.Getenv("DISKCAST_ERASE") == "" {
		t.Skip("make test-erase runs this (DISKCAST_ERASE=1)")
	}
	kernel := os.Getenv("DISKCAST_ERASE_KERNEL")
	if kernel == "" {
		need.Skip(t, "DISKCAST_ERASE_KERNEL names no Debian kernel package with AHCI and NVMe drivers")
	}
	need.Root(t)
	need.Tools(t, vm.QEMU)
	ctx, cancel := context.WithTimeout(t.Context(), 18*time.Minute)
	defer cancel()
	const size = 16 << 20
	zeros := func(eraseResult) []byte { return make([]byte, size) }
	seeded := func(r eraseResult) []byte { return overwritten(t, r.Result.Seed, size) }
	// The kernel's names of the namespaces of one controller: its vendor, serial and model in hex, and the number.
	const namespace = vm.Bus("namespace")
	two := fmt.Sprintf("nvme.1b36-%x-%x-0000000", "nvme-two", "QEMU NVMe Ctrl")
	cases := []struct {
		serial  string
		bus     vm.Bus
		method  string // with what is read back; empty: nobody asks for this disk
		refused string // a part of the error; empty: it works
		term    string
		want    func(eraseResult) []byte // the file afterwards; nil: as it was
	}{
		{"ata-zero", vm.AHCI, "zero:all", "", "clear", zeros},
		{"ata-write", vm.AHCI, "overwrite:all", "", "clear", seeded},
		{"ata-discard", vm.AHCI, "discard:sample", "", "", zeros},
		{"ata-security", vm.AHCI, "ata-erase", "it does not have the ATA security feature set", "", nil},
		{"ata-sanitize", vm.AHCI, "ata-sanitize-block", "it does not have that sanitize operation", "", nil},
		{"ata-bystander", vm.AHCI, "", "", "", nil},
		{"nvme-format", vm.NVMe, "nvme-format:all", "", "purge", zeros},
		{"nvme-zero", vm.NVMe, "zero:all", "", "clear", zeros},
		{"nvme-write", vm.NVMe, "overwrite:sample", "", "clear", seeded},
		{"nvme-discard", vm.NVMe, "discard:all", "", "", zeros},
		{"nvme-sanitize", vm.NVMe, "nvme-sanitize-block", "does not have that sanitize operation", "", nil},
		{"nvme-bystander", vm.NVMe, "", "", "", nil},
		// Two namespaces of one controller: what is done to the first is not purge, because of the second.
		{two + "1", namespace, "nvme-format:all", "", "clear", zeros},
		{two + "2", namespace, "", "", "", nil},
	}
	dir := t.TempDir()
	var disks []vm.Disk
	var plan []string
	extra := []string{"-device", "nvme,id=two,serial=nvme-two"}
	before := map[string][]byte{}
	for i, c := range cases {
		b := make([]byte, size)
		fillRandom(b, uint64(i))
		path := filepath.Join(dir, c.serial)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		before[c.serial] = b
		if n, ok := strings.CutPrefix(c.serial, two); ok {
			extra = append(extra, "-drive", fmt.Sprintf("if=none,id=ns%s,format=raw,discard=unmap,file=%s", n, path),
				"-device", fmt.Sprintf("nvme-ns,bus=two,drive=ns%s,nsid=%s", n, n))
		} else {
			disks = append(disks, vm.Disk{Path: path, Serial: c.serial, Bus: c.bus})
		}
		if c.method != "" {
			plan = append(plan, c.serial+":"+c.method)
		}
	}
	boot := eraserBoot(ctx, t, dir, kernel)
	console, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	m := vm.New(vm.Options{Name: "eraser", Memory: 768, Disks: disks, Extra: extra, Log: console,
		Kernel: filepath.Join(boot, "vmlinuz"),
		Initrd: filepath.Join(dir, "initrd"),
		Append: "console=ttyS0,115200 quiet loglevel=1 panic=-1 mitigations=off " +
			"erase=" + strings.Join(plan, ",")})
	if err := m.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	defer m.Unplug()
	if _, err := m.Expect(ctx, "ALL DONE"); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitOff(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("console:\n%s", m.Console().Text())
	said := map[string]eraseResult{}
	for _, line := range regexp.MustCompile(`RESULT (\{.*\})`).FindAllStringSubmatch(m.Console().Text(), -1) {
		var r eraseResult
		if err := json.Unmarshal([]byte(line[1]), &r); err != nil {
			t.Fatalf("%s: %v", line[1], err)
		}
		serial, _, _ := strings.Cut(r.Order, ":")
		said[serial] = r
	}
	for _, c := range cases {
		t.Run(c.serial, func(t *testing.T) {
			r, spoken := said[c.serial]
			serial := c.serial
			if c.bus == namespace {
				serial = "nvme-two"
			}
			switch {
			case spoken != (c.method != ""):
				t.Fatalf("the machine says %+v", r)
			case c.refused != "":
				if !strings.Contains(r.Error, c.refused) || r.Result != nil {
					t.Errorf("%q, %+v; want %q", r.Error, r.Result, c.refused)
				}
			case c.method != "":
				if r.Error != "" || r.Result == nil || !r.Result.OK || r.Result.Term != c.term ||
					r.Result.Disk.Serial != serial || r.Result.ReadBack.Blocks == 0 {
					t.Fatalf("%q, %+v", r.Error, r.Result)
				}
			}
			want := before[c.serial]
			if c.want != nil {
				want = c.want(r)
			}
			got, err := os.ReadFile(filepath.Join(dir, c.serial))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				differ := 0
				for off := 0; off < size; off += 4096 {
					if !bytes.Equal(got[off:off+4096], want[off:off+4096]) {
						differ++
					}
				}
				t.Errorf("%d of %d blocks of the disk's file are not what they must be", differ, size/4096)
			}
		})
	}
}

// eraserBoot makes the files that a node boots from, with the test of agent/erase/drive in the place of the agent.
func eraserBoot(ctx context.Context, t *testing.T, dir, kernel string) string {
	t.Helper()
	agent, boot := filepath.Join(dir, "agent"), filepath.Join(dir, "boot")
	if err := proc.Run(ctx, nil, "env", "CGO_ENABLED=0", "go", "test", "-c", "-o", agent,
		"github.com/diskcast/diskcast/agent/erase/drive"); err != nil {
		t.Fatal(err)
	}
	if err := proc.Run(ctx, nil, filepath.Join(osimage.ModuleRoot(), "build/bin/mkimage"), "--shim", "none", "--kernel",
		kernel, "--server", "https://192.0.2.1:8443",
		"--pin", "sha256:"+strings.Repeat("00", 32), "--console", "ttyS0,115200", "--out", boot); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(agent)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(filepath.Join(boot, "initramfs.img"))
	if err != nil {
		t.Fatal(err)
	}
	var over ramfs.Archive
	if err := over.Add(ramfs.NewFile("bbin/agent", 0o755, program)); err != nil {
		t.Fatal(err)
	}
	out := bytes.NewBuffer(archive)
	out.Write(make([]byte, -out.Len()&3)) // the kernel looks for the next archive at a multiple of four
	if err := over.Write(out, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "initrd"), out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return boot
}

func fillRandom(b []byte, seed uint64) {
	var key [32]byte
	key[0], key[1] = byte(seed), 1
	rng := rand.NewChaCha8(key)
	rng.Read(b) // never fails
}

// overwritten is what an overwrite with random bytes leaves, made again from the seed as docs/agent.md says: AES-256 in
// counter mode.
func overwritten(t *testing.T, seed string, size int) []byte {
	t.Helper()
	s, err := hex.DecodeString(seed)
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256(append(s, "overwrite, pass 1"...))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, size)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(out, out)
	return out
}
