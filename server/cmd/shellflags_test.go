package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// TestShellFlags: keys are read before anything is sent, and the session says whom it lets in.
func TestShellFlags(t *testing.T) {
	o := newOffice(t)
	key := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(key, []byte(rescueKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	create := []string{"session", "create", "--image", "debian", "--nodes", "52:54:00:00:00:01"}
	for want, args := range map[string][]string{
		"go with --then shell": {"--then", "reboot", "--shell-key", key},
		"--shell-limit 0s":     {"--then", "shell", "--shell-limit", "0s"},
		"are not 60 to":        {"--then", "shell", "--shell-limit", "5s"},
		"no such file":         {"--then", "shell", "--shell-key", key + "x"},
	} {
		if code, out, said := o.run(append(create[:len(create):len(create)], args...)...); code == 0 ||
			!strings.Contains(said, want) {
			t.Errorf("%v: %d, %s%s; want %q", args, code, out, said, want)
		}
	}
	code, out, said := o.run(append(create, "--then", "shell", "--shell-key", key, "--shell-limit", "90m")...)
	if code != 0 {
		t.Fatalf("%d, %s%s", code, out, said)
	}
	_, out, _ = o.run("session", "show", strings.TrimSpace(out))
	for _, want := range []string{"a shell, and after it the start", "open for  1h30m0s", "lets in   SHA256:",
		"me@desk"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// TestShellShown: where the shell of a restored machine is, until it is closed.
func TestShellShown(t *testing.T) {
	s := &doc.Session{ID: "s9", State: doc.Casting, Spec: doc.Spec{V: 1, Image: "debian", All: true,
		Boot: &session.Boot{Method: session.BootShell, Shell: json.RawMessage(`{}`)}},
		Parts: []doc.Part{{Node: "n1", State: doc.Running,
			Shell: json.RawMessage(`{"consoles":["tty1"],"addr":"10.0.0.5:22","host_key":"` + rescueKey + `"}`),
			Steps: map[string]doc.Mark{rescue.StepOpen: {Time: time.Unix(1, 0)}}}}}
	shown := func() string {
		var out bytes.Buffer
		e := &env{}
		e.Out = &out
		if err := e.showSession(s); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, want := range []string{"a shell is on tty1", "ssh root@10.0.0.5   # its host key must be SHA256:"} {
		if !strings.Contains(shown(), want) {
			t.Errorf("%q is not in:\n%s", want, shown())
		}
	}
	s.Parts[0].Steps[rescue.StepClosed] = doc.Mark{Time: time.Unix(2, 0)}
	if strings.Contains(shown(), "ssh root@") {
		t.Errorf("a shell that is closed is shown:\n%s", shown())
	}
}
