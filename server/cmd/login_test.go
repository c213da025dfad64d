package cmd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/client/contexts"
)

// TestLogin has an operator log in from a machine without any state, and names servers by what was remembered.
func TestLogin(t *testing.T) {
	o := newShop(t)
	cred, err := client.ReadCredentials(o.state)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := client.PinAt(t.Context(), o.url)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "contexts.json")
	for k, v := range map[string]string{"DISKCAST_CONTEXTS": file, "DISKCAST_TOKEN": "", "DISKCAST_PIN": "",
		"DISKCAST_STATE": "", "DISKCAST_SERVER": "", "DISKCAST_CONTEXT": ""} {
		t.Setenv(k, v)
	}
	var asked []string
	run := func(answers []string, args ...string) (string, error) {
		asked = nil
		var out bytes.Buffer
		e := &env{in: strings.NewReader("")}
		e.Out, e.Err = &out, &out
		e.ask = func(words string, _ bool) (string, error) {
			asked = append(asked, words)
			if len(answers) == 0 {
				return "", errNobody
			}
			a := answers[0]
			answers = answers[1:]
			return a, nil
		}
		root := newRoot(e)
		root.SetArgs(args)
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	fails := func(want string, answers []string, args ...string) {
		t.Helper()
		if out, err := run(answers, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q\n%s", args, err, want, out)
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: something was remembered", args)
		}
	}
	fails("--pin", nil, "login", o.url)                                           // nobody to ask
	fails("sits between", []string{"n"}, "login", o.url)                          // another key
	fails("not the server that was asked for", nil, "login", o.url, "--pin", "x") // the same, in a script
	fails("token is missing or wrong", []string{"y", "wrong"}, "login", o.url)
	fails("not of the form", nil, "login", "http://10.0.0.1")

	out, err := run([]string{"y", cred.Token}, "login", o.url, "--name", "lab")
	if err != nil || !strings.Contains(asked[0], pin) || strings.Contains(out, cred.Token) {
		t.Fatalf("%v\n%s\n%v", err, out, asked)
	}
	if out, err = run(nil, "session", "list", "--json"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = run(nil, "image", "list"); err != nil { // of the server, for there is no store here
		t.Fatalf("%v\n%s", err, out)
	}
	out, err = run(nil, "context", "list")
	if err != nil || !strings.Contains(out, "* lab") || strings.Contains(out, cred.Token) {
		t.Errorf("%v\n%s", err, out)
	}
	_, err = run(nil, "session", "list", "--context", "lap")
	if err == nil || !strings.Contains(err.Error(), "did you mean lab") {
		t.Errorf("%v", err)
	}
	// The state of a directory that is named goes before, and there is none.
	_, err = run(nil, "session", "list", "--state", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "no server state") {
		t.Errorf("%v", err)
	}

	// A key that is not the one of then is said, and not taken unasked.
	f, err := contexts.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c := f.Servers["lab"]
	c.Pin = "the-pin-of-then"
	f.Servers["lab"] = c
	if err := f.Save(file); err != nil {
		t.Fatal(err)
	}
	_, err = run(nil, "session", "list")
	if err == nil || !strings.Contains(err.Error(), "not the server that was asked for") {
		t.Errorf("%v", err)
	}
	if _, err = run([]string{"no"}, "login", o.url); err == nil || !strings.Contains(asked[0], "ANOTHER ONE") {
		t.Errorf("%v %v", err, asked)
	}
	if out, err = run(nil, "context", "rm", "lab"); err != nil || !strings.Contains(out, "diskcast login") {
		t.Errorf("%v\n%s", err, out)
	}
}
