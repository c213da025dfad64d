package contexts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "contexts.json")
	f, err := Load(path)
	if err != nil || len(f.Servers) != 0 {
		t.Fatalf("no file: %v, %v", f, err)
	}
	f.Servers["b"], f.Servers["a"] = Context{"https://b:1", "p", "t"}, Context{"https://a:1", "q", "u"}
	f.Servers["c"] = Context{"https://b:1", "p", "other"}
	f.Current = "c"
	if err := f.Save(path); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("others may read tokens: %v, %v", st.Mode(), err)
	}
	got, err := Load(path)
	if err != nil || !cmp.Equal(got, f) {
		t.Errorf("%v, %s", err, cmp.Diff(f, got))
	}
	if c := got.At("https://b:1"); c == nil || c.Token != "other" {
		t.Errorf("not the current one: %v", c)
	}
	if c := got.At("https://none:1"); c != nil {
		t.Errorf("a server that nobody logged in to: %v", c)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"{":                            "damaged",
		`{"v": 7}`:                     "version 7",
		strings.Repeat(" ", maxSize+2): "larger than",
	} {
		path := filepath.Join(t.TempDir(), "contexts.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	if err := (&File{}).Save(""); err == nil {
		t.Error("saved nowhere")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"v":1,"current":"a","servers":{"a":{"server":"https://a:1"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "contexts.json")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Load(path); err == nil {
			_ = c.At(c.Servers[c.Current].Server)
		}
	})
}
