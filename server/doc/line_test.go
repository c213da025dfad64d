package doc

import (
	"encoding/json"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/golden"
)

// TestSharedLine: a line that is brought into JSON once reads as one that is for one reader alone.
func TestSharedLine(t *testing.T) {
	full := Line{}
	golden.Fill(&full)
	for name, l := range map[string]Line{
		"full": full, "live": {Type: LineLive, Cursor: "e-1"}, "gone": {Type: LineSession, Gone: "s1"},
		"a part": {Type: LinePart, Cursor: "ab-77", Node: &Part{Node: "n", Name: "<x>"}}, "empty": {},
	} {
		shared := l
		shared.Share()
		for _, cursor := range []string{l.Cursor, "", "e-2"} {
			l.Cursor = cursor
			copied := shared
			copied.Cursor = cursor
			want, err := json.Marshal(&l)
			if err != nil {
				t.Fatal(err)
			}
			got, err := copied.AppendJSON([]byte("before"))
			if err != nil || string(got) != "before"+string(want) {
				t.Errorf("%s, %q: %s, %v; want %s", name, cursor, got, err, want)
			}
			if got, err := l.AppendJSON(nil); err != nil || string(got) != string(want) {
				t.Errorf("%s alone: %s, %v", name, got, err)
			}
		}
	}
}
