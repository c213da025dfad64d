package sealed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func load(t *testing.T, dir string) *Key {
	t.Helper()
	k, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealed(t *testing.T) {
	dir := t.TempDir()
	k := load(t, dir)
	secret := []byte("correct horse")
	box := k.Seal("power/m1", secret)
	if bytes.Contains(box, secret) {
		t.Error("the box shows the secret")
	}
	if again := k.Seal("power/m1", secret); bytes.Equal(again, box) {
		t.Error("the same secret sealed twice gives the same box")
	}
	got, err := load(t, dir).Open("power/m1", box)
	if err != nil || !bytes.Equal(got, secret) {
		t.Errorf("opened %q, %v; want the secret", got, err)
	}
	if _, err := k.Open("power/m2", box); !errors.Is(err, ErrKey) {
		t.Errorf("a box of another purpose: %v, want ErrKey", err)
	}
	if _, err := load(t, t.TempDir()).Open("power/m1", box); !errors.Is(err, ErrKey) {
		t.Errorf("another server's key: %v, want ErrKey", err)
	}
	for i := range box {
		bad := bytes.Clone(box)
		bad[i] ^= 1
		if _, err := k.Open("power/m1", bad); !errors.Is(err, ErrKey) {
			t.Errorf("byte %d changed: %v, want ErrKey", i, err)
		}
		if _, err := k.Open("power/m1", box[:i]); !errors.Is(err, ErrKey) {
			t.Errorf("cut after %d: %v, want ErrKey", i, err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	load(t, dir)
	path := filepath.Join(dir, KeyFile)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 || st.Size() != keySize {
		t.Errorf("key file: %v, %v; want 32 bytes of mode 0600", st, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a key that others can read is taken")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 7); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a key that was cut is taken")
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 7 {
		t.Errorf("the damaged key was changed: %d bytes, %v", len(b), err)
	}
}

func FuzzOpen(f *testing.F) {
	k, err := New(make([]byte, keySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Seal("x", []byte("secret")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, box []byte) {
		if got, err := k.Open("y", box); err == nil {
			t.Errorf("opened %x as %q for a purpose that nothing was sealed for", box, got)
		}
	})
}
