package doctor

import (
	"slices"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

func TestJudgeRecord(t *testing.T) {
	for name, c := range map[string]struct {
		a    doc.Audit
		want []ID
	}{
		"whole":   {doc.Audit{}, nil},
		"waiting": {doc.Audit{Waiting: 3}, []ID{RecordWaits}},
		"lost":    {doc.Audit{Waiting: 1000, Lost: 4}, []ID{RecordWaits, RecordLost}},
	} {
		l := &Look{}
		judgeRecord(&c.a, l)
		var got []ID
		for _, f := range l.Found {
			got = append(got, f.ID)
		}
		if !slices.Equal(got, c.want) || (len(got) == 0) != (len(l.Well) == 1) {
			t.Errorf("%s: %v, well %v; want %v", name, got, l.Well, c.want)
		}
	}
}
