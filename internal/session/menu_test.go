package session

import (
	"bytes"
	"strings"
	"testing"
)

// TestMenuChecks: what is no menu, no choice or no answer is refused.
func TestMenuChecks(t *testing.T) {
	for _, c := range []struct {
		name, text, want string // want: empty, it is good
		doc              Document
	}{
		{"a menu", `{"v":1,"action":"idle","menu":{"id":"a","title":"t","seconds":9,"default":"wait",
			"entries":[{"entry":"own-disk","words":"x"}]}}`, "", new(Descriptor)},
		{"a default that is not there", `{"v":1,"action":"idle","menu":{"id":"a","seconds":9,"default":"rescue",
			"entries":[{"entry":"own-disk","words":"x"}]}}`, "is none of its entries", new(Descriptor)},
		{"no entries", `{"v":1,"action":"idle","menu":{"id":"a","seconds":9,"default":"wait"}}`, "0 entries",
			new(Descriptor)},
		{"no time", `{"v":1,"action":"idle","menu":{"id":"a","default":"wait","entries":[{"entry":"a","words":"x"}]}}`,
			"time-out of 0", new(Descriptor)},
		{"no words", `{"v":1,"action":"idle","menu":{"id":"a","seconds":9,"default":"wait",
			"entries":[{"entry":"a"}]}}`, "empty or too long", new(Descriptor)},
		{"a choice", `{"v":1,"menu":"a","entry":"image=x","disk":{"size":5}}`, "", new(MenuChoice)},
		{"a choice of nothing", `{"v":1,"menu":"a"}`, "entry is missing", new(MenuChoice)},
		{"a disk without size", `{"v":1,"menu":"a","entry":"b","disk":{}}`, "without a size", new(MenuChoice)},
		{"an answer", `{"v":1,"restart":true}`, "", new(MenuReply)},
		{"no answer", `{"v":1}`, "says 0 things", new(MenuReply)},
		{"two answers", `{"v":1,"restart":true,"session":"s1"}`, "says 2 things", new(MenuReply)},
		{"no question", `{"v":1,"ask":{"words":"x"}}`, "about no disk", new(MenuReply)},
	} {
		err := Decode(strings.NewReader(c.text), c.doc)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzMenuChoice(f *testing.F) {
	f.Add([]byte(`{"v":1,"menu":"a","entry":"image=x","disk":{"size":5}}`))
	f.Add([]byte(`{"v":1,"menu":"a","entry":"own-disk"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c MenuChoice
		if Decode(bytes.NewReader(text), &c) == nil &&
			(c.Entry == "" || c.Menu == "" || c.Disk != nil && c.Disk.Size <= 0) {
			t.Errorf("taken: %+v", c)
		}
	})
}
