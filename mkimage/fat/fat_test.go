package fat

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestMake lets fsck.fat judge, and mtools read.
func TestMake(t *testing.T) {
	fsck, mcopy := need.Tool(t, "fsck.fat"), need.Tool(t, "mcopy")
	large := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	for name, files := range map[string]map[string][]byte{
		"one program":    {"EFI/BOOT/BOOTX64.EFI": large},
		"small files":    {"A": nil, "B.TXT": []byte("b"), "EFI/BOOT/BOOTX64.EFI": bytes.Repeat([]byte("x"), 512)},
		"many in a row":  many(40),
		"nothing in it":  {},
		"large clusters": {"BIG.BIN": make([]byte, 300<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Label: "DISKCAST", ID: 0x12345678, Time: time.Unix(1e9, 0), Hidden: 2048}
			image, err := Make(files, o)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "fat")
			if err := os.WriteFile(file, image, 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(fsck, "-n", "-v", file).CombinedOutput(); err != nil ||
				!strings.Contains(string(out), "32 bit entries") {
				t.Errorf("fsck.fat: %v\n%s", err, out)
			}
			for name, want := range files {
				got, err := exec.Command(mcopy, "-i", file, "::"+name, "-").Output()
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
				}
			}
			if again, err := Make(files, o); err != nil || !bytes.Equal(again, image) {
				t.Errorf("made twice, it differs: %v", err)
			}
		})
	}
}

func many(n int) map[string][]byte {
	files := map[string][]byte{}
	for i := range n {
		files["DIR/F"+string(rune('A'+i/26))+string(rune('A'+i%26))+".BIN"] = bytes.Repeat([]byte{byte(i)}, 100*i)
	}
	return files
}

func TestRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"lower.txt": "eight capitals", "TOOLONGNAME": "eight capitals", "A.LONG": "eight capitals",
		"":     "eight capitals",
		"A//B": "eight capitals", "A.": "eight capitals", "../A": "eight capitals", "A.B.C": "eight capitals",
	} {
		if _, err := Make(map[string][]byte{name: nil}, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", name, err, want)
		}
	}
	if _, err := Make(map[string][]byte{"A": nil, "A/B": nil}, Options{}); err == nil {
		t.Error("a file that is a folder was taken")
	}
	if _, err := Make(nil, Options{Label: "lower"}); err == nil {
		t.Error("a label in small letters was taken")
	}
}
