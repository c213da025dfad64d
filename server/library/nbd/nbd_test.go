package nbd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// holed is bytes of which one cannot be read.
type holed struct {
	io.ReaderAt
	hole atomic.Int64
}

var errHole = errors.New("a hole")

func (h *holed) ReadAt(p []byte, off int64) (int, error) {
	if hole := h.hole.Load(); off <= hole && hole < off+int64(len(p)) {
		return 0, errHole
	}
	return h.ReaderAt.ReadAt(p, off)
}

// shortDir is a folder of the test's for a socket, whose name is short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nbd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve serves a device in a folder of the test's and returns the socket.
func serve(t *testing.T, d *Device) string {
	t.Helper()
	socket := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// TestJudge has QEMU's own programs read a disk whose size is odd, try to write it, and meet a hole in it.
func TestJudge(t *testing.T) {
	need.Tools(t, "qemu-img", "qemu-io", "qemu-nbd")
	data := make([]byte, 5<<20+512)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var failed atomic.Int64
	hole := &holed{ReaderAt: bytes.NewReader(data)}
	hole.hole.Store(-1)
	socket := serve(t, &Device{Data: hole, Size: int64(len(data)), Failed: func(err error, told bool) {
		failed.Add(1)
		if !errors.Is(err, errHole) || !told {
			t.Error(err, told)
		}
	}})
	url := "nbd+unix:///?socket=" + socket
	for _, c := range []struct {
		want string
		ok   bool
		args []string
	}{
		{"Images are identical", true, []string{"qemu-img", "compare", "-f", "raw", "-F", "raw", url, file}},
		{"readonly", true, []string{"qemu-nbd", "-L", "-k", socket}},
		{"Permission denied", false, []string{"qemu-io", "-f", "raw", "-c", "write 0 512", url}},
		{"Requested export not available", false, []string{"qemu-img", "info", "nbd+unix:///other?socket=" + socket}},
	} {
		out, err := exec.CommandContext(t.Context(), c.args[0], c.args[1:]...).CombinedOutput()
		if (err == nil) != c.ok || !strings.Contains(string(out), c.want) {
			t.Errorf("%v: %v\n%s\nwant %q", c.args, err, out, c.want)
		}
	}
	if failed.Load() != 0 {
		t.Errorf("%d reads failed", failed.Load())
	}
	hole.hole.Store(3 << 20)
	out, err := exec.CommandContext(t.Context(), "qemu-io", "-r", "-f", "raw", "-c", "read 3M 4k", "-c", "read 0 4k",
		url).CombinedOutput()
	if !strings.Contains(string(out), "Input/output error") || !strings.Contains(string(out), "read 4096/4096") {
		t.Errorf("around a hole: %v\n%s", err, out)
	}
	if failed.Load() == 0 {
		t.Error("nobody was told of the hole")
	}
}

// gate is bytes that come when somebody says so, or not at all.
type gate struct {
	asked chan struct{}
	read  func() error
}

func (g *gate) ReadAt([]byte, int64) (int, error) {
	close(g.asked)
	return 0, g.read()
}

// TestFailed: who is told of a read that failed while its client, or what is served, came to its end.
func TestFailed(t *testing.T) {
	for name, c := range map[string]struct {
		end, gone bool // of what is served, of the client
		err       func(context.Context) error
		want      []bool // what Failed was told of the client
	}{
		"a hole":                {false, false, func(context.Context) error { return errHole }, []bool{true}},
		"a hole, nobody waits":  {false, true, func(context.Context) error { return errHole }, []bool{false}},
		"ended with its server": {true, false, context.Context.Err, nil},
		"a hole at the end":     {true, false, func(context.Context) error { return errHole }, []bool{false}},
		"somebody else's end":   {false, false, func(context.Context) error { return context.Canceled }, []bool{true}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		goOn := make(chan struct{})
		g := &gate{asked: make(chan struct{}), read: func() error {
			<-goOn
			return c.err(ctx)
		}}
		var got []bool
		d := &Device{Data: g, Size: 10, Failed: func(_ error, told bool) { got = append(got, told) }}
		socket := filepath.Join(shortDir(t), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- d.Serve(ctx, l) }()
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_, err = conn.Write(bytes.Join([][]byte{words(uint32(3)), option(1, ""), ask(0, 0, 0, 10)}, nil))
		}
		if err == nil {
			_, err = io.ReadFull(conn, make([]byte, 18+10)) // the greeting and the export
		}
		if err != nil {
			t.Fatal(name, err)
		}
		<-g.asked
		if c.end {
			cancel()
			if n, err := io.Copy(io.Discard, conn); n != 0 || err != nil { // until the server has closed it
				t.Errorf("%s: %d bytes, %v after the end", name, n, err)
			}
		}
		if c.gone {
			conn.Close()
		}
		close(goOn)
		if !c.end && !c.gone {
			answer := make([]byte, headBytes)
			if _, err := io.ReadFull(conn, answer); err != nil || binary.BigEndian.Uint32(answer[4:]) != errIO {
				t.Errorf("%s: answered %x, %v, want an input/output error", name, answer, err)
			}
		}
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(name, err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: Failed was told %v, want %v", name, got, c.want)
		}
	}
}

// conversation is a client's side as bytes, and what the server says to it.
type conversation struct {
	io.Reader
	bytes.Buffer
}

func (c *conversation) Read(p []byte) (int, error)  { return c.Reader.Read(p) }
func (c *conversation) Write(p []byte) (int, error) { return c.Buffer.Write(p) }

func words(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		}
	}
	return b
}

// option is an option with its data, ask a request.
func option(number uint32, data string) []byte {
	return words(uint64(haveOption), number, uint32(len(data)), data)
}

func ask(flags, command uint16, offset uint64, length uint32) []byte {
	return words(uint32(requestMagic), flags, command, uint64(7), offset, length)
}

func said(d *Device, parts ...[]byte) (string, error) {
	c := &conversation{Reader: bytes.NewReader(bytes.Join(parts, nil))}
	wanted, err := d.handshake(c)
	if err == nil && wanted {
		err = d.transmit(context.Background(), c)
	}
	return c.String(), err
}

// TestWords: what a stranger may say, and the answer, by the numbers of proto.md.
func TestWords(t *testing.T) {
	d := &Device{Data: strings.NewReader("0123456789"), Size: 10}
	fixed, hello := words(uint32(3)), string(words("NBDMAGICIHAVEOPT", uint16(3)))
	answer := func(number, kind uint32, data string) string {
		return string(words(uint64(replyMagic), number, kind, uint32(len(data)), data))
	}
	export := string(words(uint64(10), uint16(0x107)))
	result := func(number uint32, data string) string {
		return string(words(uint32(simpleReply), number, uint64(7), data))
	}
	const goodbye = 2
	for name, c := range map[string]struct {
		parts  [][]byte
		want   string
		broken bool // the connection is given up
	}{
		"old way": {[][]byte{words(uint32(1)), option(1, ""), ask(0, 0, 2, 3), ask(0, goodbye, 0, 0)},
			export + strings.Repeat("\x00", 124) + result(0, "234"), false},
		"new way": {[][]byte{fixed, option(7, string(words(uint32(0), uint16(1), uint16(3)))), ask(1, 0, 0, 10),
			ask(0, 3, 0, 0), ask(0, goodbye, 0, 0)},
			answer(7, 3, string(words(uint16(0)))+export) + answer(7, 3, string(words(uint16(3), uint32(1),
				uint32(4096), uint32(32<<20)))) + answer(7, 1, "") + result(0, "0123456789") + result(0, ""), false},
		"list, unknown, abort": {[][]byte{fixed, option(3, ""), option(3, "x"), option(8, ""), option(2, "")},
			answer(3, 2, "\x00\x00\x00\x00") + answer(3, 1, "") + answer(3, 1<<31+3, "") + answer(8, 1<<31+1, "") +
				answer(2, 1, ""), false},
		"another export": {[][]byte{fixed, option(6, string(words(uint32(1), "x", uint16(0)))),
			option(6, string(words(uint32(9), "x", uint16(0)))), option(6, string(words(uint32(0), uint16(2)))),
			option(6, ""), option(2, "")}, answer(6, 1<<31+6, "") + answer(6, 1<<31+3, "") + answer(6, 1<<31+3, "") +
			answer(6, 1<<31+3, "") + answer(2, 1, ""), false},
		"too long an option": {[][]byte{fixed, option(6, strings.Repeat("x", 5000)), option(2, "")},
			answer(6, 1<<31+9, "") + answer(2, 1, ""), false},
		"refused": {[][]byte{fixed, option(1, ""), ask(0, 1, 0, 3), []byte("abc"), ask(0, 4, 0, 3), ask(0, 0, 8, 3),
			ask(0, 0, 1<<63, 3), ask(0, 0, 0, 0), ask(0, 0, 0, 33<<20), ask(4, 0, 0, 1), ask(0, goodbye, 0, 0)},
			export + result(1, "") + result(1, "") + strings.Repeat(result(22, ""), 5), false},
		"a name the old way": {[][]byte{fixed, option(1, "x")}, "", true},
		"unknown flags":      {[][]byte{words(uint32(8))}, "", true},
		"no option":          {[][]byte{fixed, []byte("GET / HTTP/1.1\r\n\r\n")}, "", true},
		"an endless option":  {[][]byte{fixed, words(uint64(haveOption), uint32(6), uint32(1<<31))}, "", true},
		"options for ever": {[][]byte{fixed, bytes.Repeat(option(8, ""), 65)},
			strings.Repeat(answer(8, 1<<31+1, ""), 64), true},
		"an endless write":     {[][]byte{fixed, option(1, ""), ask(0, 1, 0, 33<<20)}, export, true},
		"no request":           {[][]byte{fixed, option(1, ""), make([]byte, 28)}, export, true},
		"cut in the request":   {[][]byte{fixed, option(1, ""), make([]byte, 5)}, export, true},
		"cut in what to write": {[][]byte{fixed, option(1, ""), ask(0, 1, 0, 9), []byte("x")}, export, true},
	} {
		got, err := said(d, c.parts...)
		if got != hello+c.want || (err != nil) != c.broken {
			t.Errorf("%s: said\n%q, %v\nwant\n%q", name, got, err, hello+c.want)
		}
	}
}

// FuzzClient: whatever a client says, memory is bounded, and nothing but the device's bytes comes.
func FuzzClient(f *testing.F) {
	fixed := words(uint32(3))
	f.Add(bytes.Join([][]byte{fixed, option(7, string(words(uint32(0), uint16(1), uint16(3)))), ask(0, 0, 2, 3)}, nil))
	f.Add(bytes.Join([][]byte{fixed, option(3, ""), option(1, ""), ask(0, 1, 0, 3), []byte("abc"), ask(0, 0, 0, 10)},
		nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		d := &Device{Data: strings.NewReader("0123456789"), Size: 10, Failed: func(err error, _ bool) { t.Error(err) }}
		if got, _ := said(d, text); len(got) > 300+3*len(text) { // a list is 44 bytes for 16
			t.Errorf("%d bytes for %d", len(got), len(text))
		}
	})
}
