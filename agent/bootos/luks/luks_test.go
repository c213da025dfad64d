package luks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const (
	passphrase = "correct horse, battery"
	contents   = 4 << 20 // bytes
	enough     = 1 << 30 // bytes of memory
)

// encrypted has cryptsetup make a volume with words of luksFormat's, and somebody else than us write contents into it.
func encrypted(t testing.TB, words string) (file string, content []byte) {
	t.Helper()
	need.Tools(t, "cryptsetup", "qemu-img")
	dir := t.TempDir()
	file, plain, key := filepath.Join(dir, "luks"), filepath.Join(dir, "plain"), filepath.Join(dir, "key")
	content = make([]byte, contents)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	write(t, plain, content)
	write(t, key, []byte(passphrase))
	if strings.Contains(words, "luks1") {
		write(t, file, nil)
		truncate(t, file, contents+4<<20)
		volumetest.Run(t, "cryptsetup", append(strings.Fields("luksFormat -q "+words), "--key-file", key, file)...)
		// qemu's LUKS is its own; it reads and writes LUKS1.
		volumetest.Run(t, "qemu-img", "convert", "-n", "--object", "secret,id=s,file="+key, plain,
			"--target-image-opts", "driver=luks,key-secret=s,file.driver=file,file.filename="+file)
		return file, content
	}
	write(t, file, content)
	truncate(t, file, contents+32<<20)
	volumetest.Run(t, "cryptsetup", append(strings.Fields("reencrypt --encrypt -q --reduce-device-size 32M "+words),
		"--key-file", key, file)...)
	return file, content
}

func write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t testing.TB, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, file string) (*os.File, *Header, int64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	h, err := Read(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	return f, h, fi.Size()
}

// forms are volumes as cryptsetup, and installers with it, make them.
var forms = []struct{ name, words, kdf string }{
	{"luks1", "--type luks1 --pbkdf-force-iterations 1000", "pbkdf2"},
	{"luks1 sha1", "--type luks1 --hash sha1 --pbkdf-force-iterations 1000", "pbkdf2"},
	{"luks1 sha512 256 bits", "--type luks1 --hash sha512 --key-size 256 --pbkdf-force-iterations 1000", "pbkdf2"},
	{"luks1 cbc", "--type luks1 --cipher aes-cbc-essiv:sha256 --key-size 256 --pbkdf-force-iterations 1000",
		"pbkdf2"},
	{"luks1 cbc plain64", "--type luks1 --cipher aes-cbc-plain64 --key-size 128 --pbkdf-force-iterations 1000",
		"pbkdf2"},
	{"luks2 pbkdf2", "--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000", "pbkdf2"},
	{"luks2 pbkdf2 sha512", "--type luks2 --pbkdf pbkdf2 --hash sha512 --pbkdf-force-iterations 1000", "pbkdf2"},
	{"luks2 large sectors", "--type luks2 --sector-size 4096 --pbkdf pbkdf2 --pbkdf-force-iterations 1000", "pbkdf2"},
	{"luks2 argon2id", "--type luks2 --pbkdf argon2id --pbkdf-memory 1024 --pbkdf-parallel 2 " +
		"--pbkdf-force-iterations 4", "argon2id"},
	{"luks2 argon2i", "--type luks2 --pbkdf argon2i --pbkdf-memory 64 --pbkdf-parallel 1 " +
		"--pbkdf-force-iterations 5", "argon2i"},
}

// TestOpen reads what others wrote.
func TestOpen(t *testing.T) {
	for _, tt := range forms {
		t.Run(tt.name, func(t *testing.T) {
			file, content := encrypted(t, tt.words)
			f, h, _ := read(t, file)
			want := strings.TrimSpace(volumetest.Run(t, "cryptsetup", "luksUUID", file))
			if h.UUID != want {
				t.Errorf("UUID %q, cryptsetup has %q", h.UUID, want)
			}
			if v, err := h.Open(t.Context(), f, []byte("wrong"), enough); !errors.Is(err, ErrPassphrase) {
				t.Errorf("a wrong passphrase: %v, %v", v, err)
			}
			v, err := h.Open(t.Context(), f, []byte(passphrase), enough)
			if err != nil {
				t.Fatal(err)
			}
			if v.KDF != tt.kdf || v.Size() < contents {
				t.Errorf("%s, %d bytes", v.KDF, v.Size())
			}
			got, err := io.ReadAll(io.NewSectionReader(v, 0, contents))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes are not what was written (%v)", len(got), err)
			}
			random := rand.New(rand.NewPCG(3, 4))
			for range 100 {
				at, n := random.Int64N(contents), 1+random.Int64N(20000)
				p := make([]byte, min(n, contents-at))
				if _, err := v.ReadAt(p, at); err != nil || !bytes.Equal(p, content[at:at+int64(len(p))]) {
					t.Fatalf("%d bytes at %d are not what was written (%v)", len(p), at, err)
				}
			}
			if n, err := v.ReadAt(make([]byte, 100), v.Size()-10); n != 10 || err != io.EOF {
				t.Errorf("over the end: %d, %v", n, err)
			}
		})
	}
}

// TestSlots has a second passphrase in another slot, and none in the first any more.
func TestSlots(t *testing.T) {
	for _, i := range []int{0, 5} {
		file, _ := encrypted(t, forms[i].words)
		other, old := filepath.Join(t.TempDir(), "other"), filepath.Join(t.TempDir(), "old")
		write(t, other, []byte("another"))
		write(t, old, []byte(passphrase))
		volumetest.Run(t, "cryptsetup", "luksAddKey", "-q", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
			"--key-file", old, file, other)
		f, h, _ := read(t, file)
		for _, p := range []string{passphrase, "another"} {
			if _, err := h.Open(t.Context(), f, []byte(p), enough); err != nil {
				t.Errorf("%s: %q: %v", forms[i].name, p, err)
			}
		}
		volumetest.Run(t, "cryptsetup", "luksRemoveKey", "-q", file, old)
		f, h, _ = read(t, file)
		if _, err := h.Open(t.Context(), f, []byte(passphrase), enough); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: a passphrase that was removed: %v", forms[i].name, err)
		}
		if _, err := h.Open(t.Context(), f, []byte("another"), enough); err != nil {
			t.Errorf("%s: the other passphrase: %v", forms[i].name, err)
		}
	}
}

// TestIgnored has a slot that is only tried by who asks for it.
func TestIgnored(t *testing.T) {
	file, _ := encrypted(t, forms[5].words)
	volumetest.Run(t, "cryptsetup", "config", "-q", "--priority", "ignore", "--key-slot", "0", file)
	f, h, _ := read(t, file)
	if _, err := h.Open(t.Context(), f, []byte(passphrase), enough); err == nil ||
		!strings.Contains(err.Error(), "no key slot") {
		t.Errorf("got %v", err)
	}
}

// TestBounds: a header may ask for more time and memory than there is.
func TestBounds(t *testing.T) {
	file, _ := encrypted(t, forms[8].words)
	f, h, _ := read(t, file)
	_, err := h.Open(t.Context(), f, []byte(passphrase), 1<<19)
	if err == nil || !strings.Contains(err.Error(), "argon2id over 1 MiB, and 0 MiB may be used") {
		t.Errorf("too little memory: %v", err)
	}
	file, _ = encrypted(t, forms[0].words)
	f, h, _ = read(t, file)
	h.slots[0].kdf.iterations = 1<<32 - 1
	why := errors.New("it took too long")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, why)
	defer cancel()
	if _, err := h.Open(ctx, f, []byte(passphrase), enough); !errors.Is(err, why) {
		t.Errorf("too many iterations: %v", err)
	}
}

// TestRefused changes what cryptsetup made.
func TestRefused(t *testing.T) {
	one, _ := encrypted(t, forms[0].words)
	two, _ := encrypted(t, forms[5].words)
	for _, tt := range []struct {
		name, file string
		at         int64
		to         string
		want       string
	}{
		{"no LUKS", one, 0, "X", volume.ErrNotThis.Error()},
		{"a later version", one, 6, "\x00\x03", "version 3 is not known"},
		{"detached", one, 104, "\x00\x00\x00\x00", "its header is detached from its data"},
		{"data behind the end", one, 104, "\x7f\xff\xff\xff", "its data are not inside of it"},
		{"a large key", one, 108, "\x7f\xff\xff\xff", "its keys are too large"},
		{"a hash", one, 72, "whirlpool\x00", `the hash "whirlpool" is not known`},
		{"a slot behind the end", one, 208 + 40, "\x7f\xff\xff\xff", "key slot 0 is not inside of it"},
		{"its metadata changed", two, 5000, "XX", "the checksum of its first copy is wrong"},
		{"much metadata", two, 8, "\xff", "its metadata have"},
		{"a newer second copy", two, 16384 + 16, "\x7f", "its second copy is newer than its first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := os.ReadFile(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			copy(b[tt.at:], tt.to)
			_, err = Read(bytes.NewReader(b), int64(len(b)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestMetadata has what cryptsetup makes of volumes of other kinds.
func TestMetadata(t *testing.T) {
	const slot = `"0":{"type":"luks2","key_size":64,"af":{"type":"luks1","stripes":4000,"hash":"sha256"},` +
		`"area":{"type":"raw","offset":"32768","size":"258048","encryption":"aes-xts-plain64","key_size":64},` +
		`"kdf":{"type":"pbkdf2","hash":"sha256","iterations":1000,"salt":"AAAA"}}`
	const data = `"0":{"type":"crypt","offset":"1048576","size":"dynamic","iv_tweak":"0",` +
		`"encryption":"aes-xts-plain64","sector_size":512}`
	for _, tt := range []struct{ slots, segments, config, want string }{
		{slot, data, ``, ""},
		{slot, data + `,"1":{"type":"linear"}`, ``, "its data are in 2 parts"},
		{slot, strings.Replace(data, "crypt", "linear", 1), ``, `of the kind "linear"`},
		{slot, strings.Replace(data, `"0":{`, `"0":{"integrity":{"type":"hmac"},`, 1), ``, "have integrity"},
		{slot, data, `"requirements":{"mandatory":["online-reencrypt"]}`, `"online-reencrypt"`},
		{strings.Replace(slot, "luks2", "reencrypt", 1), data, ``, "being encrypted anew"},
		{strings.Replace(slot, `"pbkdf2"`, `"scrypt","time":1`, 1), data, ``, `keys by "scrypt" are not made`},
		{strings.Replace(slot, "4000", "400000", 1), data, ``, "too large"},
		{slot, strings.Replace(data, "1048576", "0", 1), ``, "detached"},
		{slot, strings.Replace(data, "512", "1000", 1), ``, "not inside of it"},
	} {
		_, err := parse(fmt.Sprintf(`{"keyslots":{%s},"segments":{%s},"digests":{},"config":{%s}}`, tt.slots,
			tt.segments, tt.config), 64<<20)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, i := range []int{0, 3, 5, 7, 8} {
		file, _ := encrypted(f, forms[i].words)
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 64<<10)], int64(len(b)))
	}
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		size = min(max(size, int64(len(b))), 1<<40)
		r := sparse{b}
		h, err := Read(r, size)
		if err != nil {
			return
		}
		for i := range h.slots {
			h.slots[i].kdf = kdf{kind: pbkdf2Kind, hash: "sha256", iterations: 1, salt: []byte{1}}
		}
		for i := range h.digests {
			h.digests[i].kdf.iterations = 1
		}
		if v, err := h.Open(t.Context(), r, []byte(passphrase), 0); err == nil {
			if _, err := v.ReadAt(make([]byte, 5000), v.Size()-5000); err != nil && !errors.Is(err, io.EOF) {
				t.Log(err)
			}
		}
	})
}

// FuzzMetadata has JSON without a checksum around it.
func FuzzMetadata(f *testing.F) {
	for _, i := range []int{5, 7, 9} {
		file, _ := encrypted(f, forms[i].words)
		f.Add(volumetest.Run(f, "cryptsetup", "luksDump", "--dump-json-metadata", file))
	}
	f.Fuzz(func(t *testing.T, text string) {
		const size = 64 << 20
		h, err := parse(text, size)
		if err != nil {
			return
		}
		if h.data.at < 0 || h.data.at+h.data.size > size {
			t.Errorf("data of %d bytes at %d", h.data.size, h.data.at)
		}
		for _, s := range h.slots {
			if s.area.at+int64(s.key*s.stripes) > size {
				t.Errorf("key slot %d is at %+v", s.number, s.area)
			}
		}
	})
}

// parse reads metadata as those of a device of size bytes.
func parse(text string, size int64) (*Header, error) {
	h, err := readMetadata([]byte(text), "01234567-89ab-cdef-0123-456789abcdef", size)
	if err == nil {
		err = h.check(size)
	}
	return h, err
}

// sparse is a device with bytes at its start.
type sparse struct{ b []byte }

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(s.b)) {
		copy(p, s.b[off:])
	}
	return len(p), nil
}
