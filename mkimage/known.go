package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/mkimage/machines"
)

// isServer tells a server of --for from a file.
func isServer(word string) bool { return strings.Contains(word, "://") }

// checkMachines is what can be said of --for and what belongs to it by the flags alone.
func (o *options) checkMachines() error {
	asked := false
	for _, word := range o.machines {
		if !isServer(word) {
			continue
		}
		asked = true
		if !serverURL(word) {
			return fmt.Errorf("--for %q is not a server like https://10.0.0.1:8443", word)
		}
		if o.tokenFile != "" && o.server != "" && !sameServer(word, o.server) {
			return fmt.Errorf("--token-file goes with --pin, which is the key of --server %s, and --for is another "+
				"server, %s: log in there with `diskcast login %[2]s`, and leave --token-file out", o.server, word)
		}
	}
	switch {
	case !asked && len(o.selects) > 0:
		return errors.New("--select is for --for https://SERVER; for a file, select with `diskcast machine inventory " +
			"--select`")
	case !asked && o.tokenFile != "":
		return errors.New("--token-file is for --for https://SERVER")
	case o.tokenFile != "" && o.pin == "":
		return errors.New("--token-file without --pin: the token would be sent to whoever answers; `diskcast token " +
			"--state DIR` prints the pin")
	}
	return nil
}

// serverURL reports whether it is the URL of a server's API.
func serverURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.RawQuery == "" && u.User == nil
}

func sameServer(a, b string) bool {
	u, err := url.Parse(a)
	v, err2 := url.Parse(b)
	return err == nil && err2 == nil && strings.EqualFold(u.Host, v.Host)
}

// readMachines reads the inventories of --for; nil without any. What a server said beside its own is a note.
func (o *options) readMachines(ctx context.Context, r *result) ([]machines.Machine, error) {
	var files []machines.File
	for _, name := range o.machines {
		if isServer(name) {
			text, err := o.askInventory(ctx, name, r)
			if err != nil {
				return nil, fmt.Errorf("--for %s: %w", name, err)
			}
			files = append(files, machines.File{Name: name, Reader: bytes.NewReader(text)})
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--for: %w; `diskcast machine inventory` prints what it reads", err)
		}
		defer f.Close()
		files = append(files, machines.File{Name: name, Reader: f})
	}
	if len(files) == 0 {
		return nil, nil
	}
	list, err := machines.Read(files...)
	if err != nil {
		return nil, fmt.Errorf("--for %w", err)
	}
	return list, nil
}

// maxToken bounds a file with a token, in bytes.
const maxToken = 4096

// askInventory has the program diskcast ask a server, with the login of this user or with --token-file and --pin.
func (o *options) askInventory(ctx context.Context, server string, r *result) ([]byte, error) {
	program, err := diskcast()
	if err != nil {
		return nil, err
	}
	args := []string{"machine", "inventory", "--server", server, "--output", "json"}
	for _, s := range o.selects {
		args = append(args, "--select", s)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.WaitDelay = os.Environ(), time.Second
	if o.tokenFile != "" {
		token, err := readToken(o.tokenFile)
		if err != nil {
			return nil, err
		}
		// The last of a name counts (os/exec); a context that is named elsewhere would go before the token.
		cmd.Env = append(slices.DeleteFunc(cmd.Env, func(s string) bool {
			return strings.HasPrefix(s, "DISKCAST_CONTEXT=")
		}), "DISKCAST_TOKEN="+token, "DISKCAST_PIN="+o.pin)
	}
	out, said, err := answer(cmd)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("diskcast machine inventory: %w", err)
	}
	for line := range strings.Lines(said) {
		r.Notes = append(r.Notes, fmt.Sprintf("--for %s: %s", server, plain.Line(strings.TrimSpace(line), 0)))
	}
	return out, nil
}

// answer runs a command of diskcast whose output is JSON, and returns what it said beside that. Of one that failed the
// error has its words.
func answer(cmd *exec.Cmd) (out []byte, said string, err error) {
	var b bytes.Buffer
	cmd.Stderr = &b
	if out, err = cmd.Output(); err != nil {
		return nil, "", fmt.Errorf("%w: %s", err, plain.Line(words(b.String()), 2000))
	}
	return out, b.String(), nil
}

// words is what a program said, line by line; of its failure it says it as JSON where its output is.
func words(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		var e struct {
			Error struct{ Message string }
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Error.Message != "" {
			line = e.Error.Message
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "; ")
}

// readToken reads a token, which is one word.
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	words := strings.Fields(string(data))
	if len(data) > maxToken || len(words) != 1 || strings.ContainsRune(words[0], 0) {
		return "", fmt.Errorf("--token-file %s: a token is one word; `diskcast token create` prints one", file)
	}
	return words[0], nil
}
