package uki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/pe"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// installedStub is where Debian's package systemd-boot-efi has it.
const installedStub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"

func parts(t testing.TB) Parts {
	t.Helper()
	stub, err := os.ReadFile(installedStub)
	if errors.Is(err, fs.ErrNotExist) {
		need.Skip(t, "%s is not there: see .ci/packages", installedStub)
	}
	if err != nil {
		t.Fatal(err)
	}
	return Parts{Arch: bootdir.AMD64, Stub: stub, Linux: bytes.Repeat([]byte("MZ kernel"), 1000),
		Initrd:  bytes.Repeat([]byte("archive"), 5000),
		Cmdline: "console=tty0 quiet", OSRelease: "ID=diskcast\n", Release: "6.1.0-1"}
}

// TestMake lets objcopy take the sections out again, and objdump say where they lie.
func TestMake(t *testing.T) {
	p := parts(t)
	image, err := Make(p)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Make(p); err != nil || !bytes.Equal(again, image) {
		t.Errorf("made twice, it differs: %v", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "uki")
	if err := os.WriteFile(file, image, 0o644); err != nil {
		t.Fatal(err)
	}
	for section, want := range map[string]string{".linux": string(p.Linux), ".initrd": string(p.Initrd),
		".cmdline": p.Cmdline, ".osrel": p.OSRelease, ".uname": p.Release} {
		to := filepath.Join(dir, section)
		out, err := exec.Command(need.Tool(t, "objcopy"), "-O", "binary", "--only-section="+section, file,
			to).CombinedOutput()
		got, readErr := os.ReadFile(to)
		// objcopy writes whole units of the file's alignment where it knows no better.
		if err != nil || readErr != nil || strings.TrimRight(string(got), "\x00") != want {
			t.Errorf("%s: %v %v, %d bytes, want %d\n%s", section, err, readErr, len(got), len(want), out)
		}
	}
	out, err := exec.Command(need.Tool(t, "objdump"), "-h", "-p", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), "warning") {
		t.Errorf("objdump: %v\n%s", err, out)
	}
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	var end uint32
	for _, s := range f.Sections {
		if s.VirtualAddress < end || strings.Contains(".osrel.cmdline.uname.initrd.linux", s.Name) &&
			s.VirtualAddress%page != 0 {
			t.Errorf("section %s lies at %#x, the one before ends at %#x", s.Name, s.VirtualAddress, end)
		}
		end = s.VirtualAddress + s.VirtualSize
	}
	if h := f.OptionalHeader.(*pe.OptionalHeader64); h.SizeOfImage < end || h.SizeOfImage > end+page {
		t.Errorf("size of the image %#x, its sections end at %#x", h.SizeOfImage, end)
	}
	if name := f.Sections[len(f.Sections)-1].Name; name != ".linux" {
		t.Errorf("the last section is %s", name)
	}
}

// TestWiden has a stub whose headers are full to their end.
func TestWiden(t *testing.T) {
	p := parts(t)
	s, err := readStub(p.Stub)
	if err != nil {
		t.Fatal(err)
	}
	p.Stub = strip(p.Stub, s)
	out, w, err := widen(p.Stub, s, 40)
	if err != nil || w.headers <= s.headers || len(out) != len(p.Stub)+w.headers-s.headers {
		t.Fatalf("%d bytes of headers: %v", w.headers, err)
	}
	f, err := pe.NewFile(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	was, err := pe.NewFile(bytes.NewReader(p.Stub))
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range f.Sections {
		got, err := x.Data()
		want, err2 := was.Sections[i].Data()
		if err != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("section %s is another: %v, %v", x.Name, err, err2)
		}
	}
	if _, _, err := widen(p.Stub, s, 10_000); err == nil {
		t.Error("more sections than there is room for were taken")
	}
}

func TestRefuses(t *testing.T) {
	p := parts(t)
	image, err := Make(p)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readStub(p.Stub)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Parts)
		want   string
	}{
		"text":            {func(p *Parts) { p.Stub = []byte("text") }, "not a UEFI program"},
		"an image":        {func(p *Parts) { p.Stub = image }, "a kernel in it already"},
		"cut off":         {func(p *Parts) { p.Stub = p.Stub[:len(p.Stub)/2] }, "not a UEFI program"},
		"no kernel":       {func(p *Parts) { p.Linux = nil }, "CONFIG_EFI_STUB"},
		"no UEFI":         {func(p *Parts) { p.Linux = []byte("kernel") }, "CONFIG_EFI_STUB"},
		"cut, no symbols": {func(p *Parts) { p.Stub = strip(p.Stub, s)[:len(p.Stub)/2] }, "lies outside"},
		"no archive":      {func(p *Parts) { p.Initrd = nil }, ".initrd"},
		"another PE": {func(p *Parts) {
			p.Stub = bytes.ReplaceAll(p.Stub, []byte("systemd-stub"), []byte("another-stub"))
		}, "not the stub"},
		"for other machines": {func(p *Parts) { p.Arch = bootdir.ARM64 }, "the stub is for machines of amd64"},
		"signed stub":        {func(p *Parts) { p.Stub = sign(t, p.Stub) }, "it is signed"},
	} {
		q := p
		c.change(&q)
		if _, err := Make(q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// site is a key with its certificate, in PEM.
func site(t testing.TB) (key, cert []byte) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "A site"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func sign(t testing.TB, program []byte) []byte {
	t.Helper()
	s, err := NewSigner(site(t))
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Sign(program)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSign lets sbverify judge, which reads PE and PKCS #7 by OpenSSL.
func TestSign(t *testing.T) {
	sbverify := need.Tool(t, "sbverify")
	image, err := Make(parts(t))
	if err != nil {
		t.Fatal(err)
	}
	key, cert := site(t)
	s, err := NewSigner(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(image)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Sign(image); err != nil || !bytes.Equal(again, signed) {
		t.Errorf("signed twice, it differs: %v", err)
	}
	if _, err := s.Sign(signed); err == nil {
		t.Error("a second signature was put over the first")
	}
	_, other := site(t)
	damaged := bytes.Clone(signed)
	damaged[len(image)-1] ^= 1
	for name, c := range map[string]struct {
		image, cert []byte
		good        bool
	}{"as signed": {signed, cert, true}, "another key": {signed, other, false}, "damaged": {damaged, cert, false}} {
		dir := t.TempDir()
		file, by := filepath.Join(dir, "uki"), filepath.Join(dir, "cert")
		for name, data := range map[string][]byte{file: c.image, by: c.cert} {
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(sbverify, "--cert", by, file).CombinedOutput()
		if (err == nil) != c.good || strings.Contains(string(out), "warning") {
			t.Errorf("%s: sbverify: %v\n%s", name, err, out)
		}
	}
}

func TestSignerRefuses(t *testing.T) {
	key, cert := site(t)
	_, other := site(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key, cert []byte
		want      string
	}{
		"another certificate": {key, other, "is for another key"},
		"swapped":             {cert, key, "must be a private key"},
		"no PEM":              {[]byte("x"), cert, "not in PEM"},
		"no certificate":      {key, []byte("x"), "the certificate"},
		"ECDSA":               {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), cert, "RSA alone"},
	} {
		if _, err := NewSigner(c.key, c.cert); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// FuzzMake takes any bytes for a stub: what is made of it can be read, or it is refused.
func FuzzMake(f *testing.F) {
	p := parts(f)
	f.Add(p.Stub)
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, stub []byte) {
		p.Stub = stub
		_, _ = Section(stub, ".text") // it must not end in a panic
		image, err := Make(p)
		if err != nil {
			return
		}
		read, err := pe.NewFile(bytes.NewReader(image))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read.Section(".linux").Data(); err != nil || !bytes.HasPrefix(got, p.Linux) {
			t.Errorf("the kernel is not in it: %v", err)
		}
		if got, err := Section(image, ".initrd"); err != nil || !bytes.Equal(got, p.Initrd) {
			t.Errorf("the archive is not in it: %v", err)
		}
		_, _, _ = authenticode(image) // it must not end in a panic
	})
}
