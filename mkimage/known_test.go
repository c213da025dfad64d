package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/server/cmd"
	"github.com/diskcast/diskcast/server/identity"
)

// TestMain is also the program diskcast, for a test that starts it by that name.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "diskcast":
	case "program":
		main()
	case accel.QEMU:
		emulator(os.Args[1:])
	case "maker":
		maker(os.Args[1], os.Args[2], os.Args[3])
	default:
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := cmd.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		cmd.WriteError(os.Stderr, os.Args[1:], err)
	}
	os.Exit(cmd.ExitCode(err))
}

// diskcastInPath has this program be found as diskcast.
func diskcastInPath(t *testing.T) (program string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program = filepath.Join(dir, "diskcast")
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return program
}

// hello is what a node's agent says of itself; hardware is a document, or nothing.
func hello(t *testing.T, s *server, n int, hardware string) {
	t.Helper()
	if err := say("https://127.0.0.1:"+s.port, n, hardware); err != nil {
		t.Fatal(err)
	}
}

func say(server string, n int, hardware string) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	body := fmt.Sprintf(`{"v":1,"boot":"b%d","agent":"test","inventory":{"memory":268435456,"firmware":"bios",
		"nics":[{"mac":"52:54:00:00:00:0%[1]d","boot":true}]%s}}`, n, hardware)
	r, err := client.Post(server+"/v1/node/hello", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("hello: %s", r.Status)
	}
	return nil
}

// TestForServer asks a real server for the hardware of its machines, with a token of a file, and with a login; who has
// told nothing is left out and named.
func TestForServer(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	program, boot := diskcastInPath(t), made(t)
	s, err := startServer(t.Context(), program, t.TempDir(), boot)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	url := "https://127.0.0.1:" + s.port
	for err := fmt.Errorf("it was not asked yet"); err != nil; { // until it serves
		var nodes []triedNode
		if err = s.ask(t.Context(), &nodes, "node", "list", "--json", "--state", s.state, "--server", url); err != nil {
			select {
			case <-s.ended:
				t.Fatal("the server ended: ", err)
			case <-t.Context().Done():
				t.Fatal(err)
			default:
			}
		}
	}
	const devices = `,"hardware":{"devices":[{"alias":"pci:v8086x"}]}`
	hello(t, s, 1, devices)
	hello(t, s, 2, "")
	token := filepath.Join(s.state, identity.TokenFile)
	t.Setenv("DISKCAST_CONTEXTS", filepath.Join(t.TempDir(), "contexts.json"))
	build := func(more ...string) (string, *bootdir.Manifest, error) {
		out := filepath.Join(t.TempDir(), "boot")
		text, err := mkimage(t, append(more, "--kernel", kernel, "--ipxe", ipxe, "--out", out, "--for", url)...)
		if err != nil {
			return text, nil, err
		}
		return text, manifest(t, out), nil
	}
	withToken := []string{"--token-file", token, "--pin", s.pin}
	for range 2 {
		text, m, err := build(withToken...)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.For) != 1 || len(m.Modules) != 3 {
			t.Errorf("made for %v, modules %v", m.For, m.Modules)
		}
		for _, want := range []string{"note: --for " + url + ": left out, since the agent that they had last did",
			"the least that these machines have is 256 MiB"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		// The second time by a login, without token and pin.
		var said bytes.Buffer
		if err := cmd.Run(t.Context(), []string{"login", url, "--name", "lab", "--pin", s.pin, "--token-file", token},
			strings.NewReader(""), &said, &said); err != nil {
			t.Fatal(err, said.String())
		}
		withToken = nil
	}
	for want, more := range map[string][]string{
		"nobody":                     {"--select", "nobody"},
		"key":                        {"--token-file", token, "--pin", testPin},
		"a token is one word":        {"--token-file", kernel, "--pin", s.pin},
		"no such file":               {"--token-file", "/nowhere", "--pin", s.pin},
		"told what drivers it needs": {"--select", "52:54:00:00:00:02"},
	} {
		if text, _, err := build(more...); err == nil || exitCode(err) != 1 || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), `{"`) {
			t.Errorf("%v: %v, %s; want %q in words", more, err, text, want)
		}
	}
}

// TestForRefuses: what is wrong with the words is said before anybody is asked.
func TestForRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"is not a server like": {"--for", "http://10.0.0.1:8443"},
		"--select is for":      {"--for", "file", "--select", "room=1"},
		"--token-file is for":  {"--token-file", "file"},
		"without --pin":        {"--for", "https://a:1", "--token-file", "f"},
		"--for is another server, https": {"--for", "https://a:1", "--token-file", "f", "--pin", testPin, "--server",
			"https://b:1"},
	} {
		args = append(args, "--kernel", "k", "--out", filepath.Join(t.TempDir(), "o"))
		if text, err := mkimage(t, args...); err == nil || exitCode(err) != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, %s; want %q", args, err, text, want)
		}
	}
}
