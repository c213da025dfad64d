package cmd

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

// TestDataIsExact: what is printed for programs has every character that the server has.
func TestDataIsExact(t *testing.T) {
	o := newOffice(t)
	o.recorded(t)
	const notes = "two\nlines"
	if code, _, said := o.run("machine", "notes", "m1", notes); code != 0 {
		t.Fatal(said)
	}
	forms := map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal}
	for form, read := range forms {
		code, out, said := o.run("machine", "show", "m1", "-o", form)
		var m struct{ Notes string }
		if err := read([]byte(out), &m); code != 0 || err != nil || m.Notes != notes {
			t.Errorf("as %s: %d %v, notes %q, want %q: %s%s", form, code, err, m.Notes, notes, out, said)
		}
	}
	lab := filepath.Join(t.TempDir(), "lab.yaml")
	_, out, _ := o.run("export")
	if err := os.WriteFile(lab, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, said := o.run("apply", "-f", lab, "--dry-run"); code != 0 {
		t.Errorf("apply of what export printed: %d, %s%s", code, out, said)
	}

	cred, err := client.ReadCredentials(o.state)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(o.url, *cred)
	if err != nil {
		t.Fatal(err)
	}
	const turned = "x\u202ey\u2028\u0085\u0080\u007f\ufffez\U000e0001"
	resp, err := c.Do(t.Context(), http.MethodPatch, "/v1/machines/none", map[string]any{"v": 1, "notes": turned})
	if err == nil {
		resp.Body.Close()
		t.Fatal("a machine that is not there was changed")
	}
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	_, out, _ = o.run("audit", "export")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, said := o.run("audit", "verify", file); code != 0 {
		t.Errorf("verify of what export printed: %d, %s%s", code, out, said)
	}
	for form, read := range forms {
		_, out, said := o.run("audit", "list", "--about", "none", "-o", form)
		var list []map[string]any
		if err := read([]byte(out), &list); err != nil || len(list) != 1 {
			t.Fatalf("as %s: %v, %s%s", form, err, out, said)
		}
		if got := list[0]["document"].(map[string]any)["notes"]; got != turned {
			t.Errorf("as %s: %q, want %q", form, got, turned)
		}
	}
	_, out, _ = o.run("audit", "list", "--about", "none", "--json")
	var list []doc.AuditEntry
	if err := json.Unmarshal([]byte(out), &list); err != nil || strings.Contains(out, "\u202e") {
		t.Errorf("JSON has a mark that turns text, or is none: %v %q", err, out)
	}
}
