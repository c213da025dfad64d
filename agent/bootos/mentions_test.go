package bootos

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMentions(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"1/etc/fstab":          "UUID=ABCD-1 / ext4 defaults 0 1\n",
		"1/boot/grub/grub.cfg": "search --fs-uuid other\n",
		"2/grub/grub.cfg":      "search --fs-uuid abcd-1\n",
		"2/home/fstab":         "abcd-1",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v := NewVolumes(Volume{Number: 1, Dir: filepath.Join(dir, "1")}, Volume{Number: 2, Dir: filepath.Join(dir, "2")})
	want := []string{"/etc/fstab of partition 1", "/grub/grub.cfg of partition 2"}
	if diff := cmp.Diff(want, v.Mentions("abcd-1")); diff != "" {
		t.Error(diff)
	}
	if got := v.Mentions("beef"); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
