package efivars

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// put writes a variable as efivarfs shows it.
func put(t *testing.T, d Dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(string(d), name), append([]byte{7, 0, 0, 0}, b...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTried(t *testing.T) {
	d := Dir(t.TempDir())
	if got, err := Tried(d); d.Readable() || len(got) > 0 || err != nil || d.Loader("LoaderEntryDefault") != "" {
		t.Errorf("an empty folder has entries: %v, %v", got, err)
	}
	good := golden(t)
	off, app := slices.Clone(good), slices.Clone(good)
	off[0] = 0
	app[1] = 1
	put(t, d, "BootOrder"+global, []byte{9, 0, 0x0a, 0, 2, 0, 3, 0, 0xbb, 0, 1, 0, 7})
	put(t, d, "Boot0001"+global, good)
	put(t, d, "Boot0002"+global, off)
	put(t, d, "Boot0003"+global, app)
	put(t, d, "Boot0009"+global, good[:20])
	put(t, d, "Boot000A"+global, append(slices.Clone(good), "words"...))
	put(t, d, "Boot000C"+global, good)
	put(t, d, "LoaderEntryDefault"+loader, []byte("a\x00.\x00c\x00o\x00n\x00f\x00\x00\x00x\x00"))
	entries, err := Tried(d)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		p, file, ok := e.Starts()
		got = append(got, fmt.Sprintf("%s %s %s %s %v %q", Name(e.Number), e.Description, p.PartUUID(), file, ok,
			e.Optional))
	}
	want := []string{
		"Boot000A debian (diskcast) " + goldenGUID + ` EFI/debian/shimx64.efi true "words"`,
		"Boot0001 debian (diskcast) " + goldenGUID + ` EFI/debian/shimx64.efi true ""`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := d.Loader("LoaderEntryDefault"); got != "a.conf" || !d.Readable() {
		t.Errorf("LoaderEntryDefault is %q", got)
	}
	all, err := Options(d)
	if err != nil || len(all) != 6 || all[9] != nil || all[0xc] == nil {
		t.Errorf("Options = %v, %v", all, err)
	}
}

func TestPartUUID(t *testing.T) {
	for _, id := range []string{goldenGUID, "0x1234abcd"} {
		p := Partition{Number: 11}
		var err error
		if p.Signature, p.GPT, err = Signature(id); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{goldenGUID: goldenGUID, "0x1234abcd": "1234abcd-0b"}[id]
		if got := p.PartUUID(); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

func TestOrderVariable(t *testing.T) {
	if order, damaged, err := ParseOrder([]byte{1, 0, 2}); err != nil || !damaged || !slices.Equal(order, []uint16{1}) {
		t.Errorf("three bytes are %x, %v, %v: want 1 and a half number", order, damaged, err)
	}
	order, damaged, err := ParseOrder([]byte{0x02, 0x00, 0x00, 0x80})
	if err != nil || damaged || !slices.Equal(order, []uint16{2, 0x8000}) {
		t.Errorf("parseOrder = %x, %v, %v", order, damaged, err)
	}
	if _, _, err := ParseOrder(make([]byte, MaxSize+2)); err == nil {
		t.Error("an order without bound was taken")
	}
	if got := OrderBytes(order); string(got) != "\x02\x00\x00\x80" {
		t.Errorf("orderBytes = %x", got)
	}
}
