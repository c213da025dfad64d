package doctor

import (
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

func TestJudgeWords(t *testing.T) {
	for name, c := range map[string]struct {
		r    doc.NotifyReceiver
		want []ID
	}{
		"told":     {doc.NotifyReceiver{Name: "chat", Told: 7}, nil},
		"it waits": {doc.NotifyReceiver{Name: "chat", Waiting: 2}, nil},
		"it fails": {doc.NotifyReceiver{Name: "chat", Waiting: 2, Error: "it answers 500"}, []ID{NotifyStuck}},
		"no key":   {doc.NotifyReceiver{Name: "chat", Problem: "its key is not stored"}, []ID{NotifyStuck}},
		"given up": {doc.NotifyReceiver{Name: "chat", GivenUp: 1}, []ID{NotifyLost}},
		"both":     {doc.NotifyReceiver{Name: "chat", Error: "x", Dropped: 1}, []ID{NotifyStuck, NotifyLost}},
	} {
		l := &Look{}
		judgeWords([]doc.NotifyReceiver{c.r}, l)
		var got []ID
		for _, f := range l.Found {
			got = append(got, f.ID)
		}
		if len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] || len(got) > 1 && got[1] != c.want[1] {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
