package field

import (
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/google/go-cmp/cmp"
)

func TestGaps(t *testing.T) {
	runs := volume.NewRuns(1000)
	g := Gaps{Used: runs}
	g.From(100)
	g.Free(100, 50)
	g.Free(200, 50)
	g.To(300)
	want := []volume.Extent{{Offset: 150, Length: 50}, {Offset: 250, Length: 50}}
	if diff := cmp.Diff(want, runs.Extents()); diff != "" {
		t.Fatal(diff)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{"abc\x00def": "abc", "abc   ": "abc", "": "", "\x00": "",
		"a b \x00": "a b"} {
		if got := Text([]byte(in)); got != want {
			t.Errorf("%q gave %q, want %q", in, got, want)
		}
	}
	if got := UTF16([]byte{'a', 0, 0xac, 0x20, 0, 0, 'b', 0}); got != "a€" {
		t.Errorf("got %q", got)
	}
	if got := UUID(make([]byte, 16)); got != "" {
		t.Errorf("zero UUID is %q", got)
	}
}
