package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"hash"
	"runtime"
	"strings"
	"testing"
)

func TestRecordable(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":      {"", ""},
		"a word":       {` "x" `, `"x"`},
		"a number":     {`1e999`, `1e999`},
		"null":         {`null`, `null`},
		"empty":        {`{}`, `{}`},
		"known fields": {`{ "v": 1, "on": "a<b", "nodes": ["a", {"name": null}, true] }`, ""},
		"a secret": {`{"v":1,"personalize":{"a":[{"name":"b"}]},"on":"x"}`,
			`{"v":1,"personalize":"(left out)","on":"x"}`},
		"a mistyped one": {`{"pasword":["x",{"v":1}],"v":1}`, `{"pasword":"(left out)","v":1}`},
		"one twice": {`{"v":1,"token":"x","token":{"v":1}}`,
			`{"v":1,"token":"(left out)","token":"(left out)"}`},
		"labels": {`{"labels":{"room":"1","x":{"y":["z",{"q":1}]}},"z":1}`,
			`{"labels":{"room":"1","x":{"y":["z",{"q":1}]}},"z":"(left out)"}`},
		"labels in a list": {`[{"labels":{"a":"b"}},{"a":"b"}]`, `[{"labels":{"a":"b"}},{"a":"(left out)"}]`},
		"cut short":        {`{"v":1`, `"(6 bytes that are no document)"`},
		"no document":      {`hunter2`, `"(7 bytes that are no document)"`},
		"deep":             {deep, `"(2002 bytes that are no document)"`},
	} {
		want := c.want
		if name == "known fields" {
			want = `{"v":1,"on":"a\u003cb","nodes":["a",{"name":null},true]}`
		}
		if got := string(recordable([]byte(c.text))); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// weighing is a hash that looks, each MiB, how much is alive.
type weighing struct {
	hash.Hash
	n    int
	most uint64
}

func (w *weighing) Write(p []byte) (int, error) {
	if w.n += len(p); w.n >= 1<<20 {
		w.n = 0
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.most = max(w.most, m.HeapAlloc)
	}
	return w.Hash.Write(p)
}

// TestALargeDocumentIsNotDecodedWhole records the document of a whole lab, and weighs what is alive meanwhile.
func TestALargeDocumentIsNotDecodedWhole(t *testing.T) {
	row := []byte(`{"name":"lab-1","labels":{"room":"210","row":"3"},"notes":"","when_idle":{"do":"own disk"}},`)
	text := append([]byte(`{"v":1,"machines":[`), bytes.Repeat(row, labBody/len(row)-1)...)
	text = append(text[:len(text)-1], "]}"...)
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	w := &weighing{Hash: sha256.New()}
	out := &bounding{sum: w}
	if err := without(json.NewDecoder(bytes.NewReader(text)), out); err != nil {
		t.Fatal(err)
	}
	if more := int64(w.most) - int64(before.HeapAlloc); w.most == 0 || more > 4<<20 {
		t.Errorf("%d MiB are alive for a document of %d MiB", more>>20, len(text)>>20)
	}
	if got := string(out.json()); !strings.HasPrefix(got, `"(`) || !strings.Contains(got, "SHA-256") {
		t.Errorf("recorded: %.200s", got)
	}
	runtime.KeepAlive(text)
}
