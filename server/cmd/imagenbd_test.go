package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

// TestImageNBD has qemu-img compare what is served of an image, of a store here and of a server, with what was exported
// of it; an image that is damaged is told of at the end, with the exit code for that.
func TestImageNBD(t *testing.T) {
	need.Tool(t, "qemu-img")
	s := newShop(t)
	s.stock("debian", 2)
	dir := shortDir(t)
	raw := filepath.Join(dir, "disk.raw")
	if code, out, said := s.run(append([]string{"image", "export", "debian", raw, "--format", "raw"},
		s.here()...)...); code != 0 {
		t.Fatal(code, out, said)
	}
	socket := filepath.Join(dir, "sock")
	compare := func(where []string) (string, int, string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out, to := io.Pipe()
		var said bytes.Buffer
		ended := make(chan error, 1)
		go func() {
			args := append([]string{"image", "nbd", "debian", socket}, where...)
			err := Run(ctx, args, strings.NewReader(""), to, &said)
			to.Close()
			ended <- err
		}()
		line := make([]byte, 200)
		if _, err := out.Read(line); err != nil {
			t.Fatal(<-ended, said.String())
		}
		if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the socket: %v, %v", st, err)
		}
		judged, _ := exec.CommandContext(t.Context(), "qemu-img", "compare", "-f", "raw", "-F", "raw",
			"nbd+unix:///?socket="+socket, raw).CombinedOutput()
		cancel()
		err := <-ended
		if err != nil {
			said.WriteString(err.Error())
		}
		return string(judged), ExitCode(err), said.String()
	}
	for where, flags := range map[string][]string{"here": s.here(), "there": s.there()} {
		judged, code, said := compare(flags)
		if code != 0 || !strings.Contains(judged, "Images are identical") {
			t.Errorf("%s: exit %d, %s; qemu-img says %s", where, code, said, judged)
		}
		if _, err := os.Stat(socket); !os.IsNotExist(err) {
			t.Errorf("%s: the socket is still there: %v", where, err)
		}
	}
	file := s.dataFile("debian")
	b, err := os.ReadFile(file)
	if err == nil {
		b[len(b)/2] ^= 4
		err = os.Chmod(file, 0o600)
	}
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	judged, code, said := compare(s.here())
	if code != exitDamage || strings.Contains(judged, "identical") ||
		!strings.Contains(said, "had an input/output error: ") || !strings.Contains(said, "image import FILE") {
		t.Errorf("damaged: exit %d, %s; qemu-img says %s", code, said, judged)
	}
	if code, _, said := s.run(append([]string{"image", "nbd", "debian", raw}, s.here()...)...); code != exitFailed ||
		!strings.Contains(said, "exists: remove it") {
		t.Errorf("a socket's name that is a file: exit %d, %s", code, said)
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "left"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	for _, want := range []string{"another program listens there", "listens at any more: remove it"} {
		if code, _, said := s.run(append([]string{"image", "nbd", "debian", filepath.Join(dir, "left")},
			s.here()...)...); code != exitFailed || !strings.Contains(said, want) {
			t.Errorf("a socket that is there: exit %d, %s; want %q", code, said, want)
		}
		left.Close()
	}
	if code, _, said := s.run(append([]string{"image", "nbd", "debian", strings.Repeat("x", 108)},
		s.here()...)...); code != exitUsage || !strings.Contains(said, "at most 107 bytes") {
		t.Errorf("too long a name: exit %d, %s", code, said)
	}
}

// objectOf is an image whose object a function reads.
type objectOf struct {
	*image.Image
	read func() error
}

func (o *objectOf) Object() io.ReaderAt                   { return o }
func (o *objectOf) ReadAt(p []byte, _ int64) (int, error) { return 0, o.read() }

// readNBD asks for 512 bytes of the middle of what a socket serves, and returns the connection, on which the answer
// comes. The words are those of NBD's proto.md, with the handshake of old.
func readNBD(t *testing.T, socket string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	words, err := hex.DecodeString("00000003" + "49484156454f5054" + "00000001" + "00000000" + // IHAVEOPT, export
		"25609513" + "00000000" + "0000000000000007" + "0000000000800000" + "00000200") // a read
	if err == nil {
		_, err = c.Write(words)
	}
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 18+10))
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestImageNBDUnread: what could not be read is not called damaged, each cause has its next step, and what ends with
// the program is no failure.
func TestImageNBDUnread(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	im, err := s.st.Open("debian")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	const nowhere = "server does not answer: refused (is `diskcast serve` running there? --server names another)"
	for name, c := range map[string]struct {
		err   error // of the read; nil: it ends with the program
		there bool
		code  int
		want  string
	}{
		"the end":   {nil, true, 0, ""},
		"no server": {errors.New(nowhere), true, exitFailed, "could not be read: " + nowhere},
		"removed there": {&client.StatusError{Code: 404, Message: "gone"}, true, exitFailed,
			"could not be read: gone; the image is no longer in the server's store: bring it there again"},
		"damaged there": {&client.StatusError{Code: 422, Kind: doc.KindDamaged, Message: "x is damaged"}, true,
			exitDamage, "could not be read: x is damaged"},
		"the disk fails": {unix.EIO, false, exitFailed,
			"could not be read: input/output error; see what the kernel says"},
		"cut short": {io.ErrUnexpectedEOF, false, exitDamage,
			"is damaged: it ends too early: unexpected EOF; import or capture the same disk again"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan struct{}, 1)
		source := &objectOf{im, func() error {
			asked <- struct{}{}
			if c.err == nil {
				<-ctx.Done()
				return ctx.Err()
			}
			return c.err
		}}
		out, to := io.Pipe()
		var said bytes.Buffer
		e := &env{UI: ui.UI{Out: to, Err: &said}, store: s.dir}
		if c.there {
			e.store, e.images = "", "https://127.0.0.1:8443"
		}
		socket := filepath.Join(shortDir(t), "s")
		ended := make(chan error, 1)
		go func() { ended <- e.serveNBD(ctx, &opened{Source: source}, "debian", socket, false) }()
		if _, err := out.Read(make([]byte, 200)); err != nil {
			t.Fatal(name, err)
		}
		conn := readNBD(t, socket)
		<-asked
		if c.err != nil {
			answer := make([]byte, 16)
			if _, err := io.ReadFull(conn, answer); err != nil || answer[7] != 5 {
				t.Errorf("%s: answered %x, %v, want an input/output error", name, answer, err)
			}
		}
		cancel()
		err := <-ended
		told := said.String()
		if ExitCode(err) != c.code || !strings.Contains(told, c.want) ||
			strings.Contains(told, "is damaged") != (c.code == exitDamage) {
			t.Errorf("%s: exit %d, want %d, %v\nsaid %q, want %q", name, ExitCode(err), c.code, err, told, c.want)
		}
		if (c.want == "") != (told == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: said %q, ended with %v", name, told, err)
		}
	}
}

// TestImageNBDSaysAtOnce: the first failure is said while the machine still runs, as one line, and the first damage too
// where something else failed before; the exit code is that of the damage.
func TestImageNBDSaysAtOnce(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	im, err := s.st.Open("debian")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answers := make(chan error, 1)
	source := &objectOf{im, func() error { return <-answers }}
	out, to := io.Pipe()
	said, err2 := io.Pipe()
	e := &env{UI: ui.UI{Out: to, Err: err2}, images: "https://127.0.0.1:8443"}
	socket := filepath.Join(shortDir(t), "s")
	ended := make(chan error, 1)
	go func() {
		err := e.serveNBD(ctx, &opened{Source: source}, "debian", socket, false)
		err2.Close()
		ended <- err
	}()
	if _, err := out.Read(make([]byte, 200)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(said)
	for _, c := range []struct {
		err  error
		want string // of a line; empty: nothing is said
	}{
		{errors.New("a thing\nof two lines"), "could not be read: a thing of two lines"},
		{errors.New("the same again"), ""},
		{io.ErrUnexpectedEOF, "is damaged: it ends too early: unexpected EOF; import or capture the same disk again"},
		{io.ErrUnexpectedEOF, ""},
	} {
		answers <- c.err
		conn := readNBD(t, socket)
		if _, err := io.ReadFull(conn, make([]byte, 16)); err != nil {
			t.Error(c.err, err)
		}
		if c.want == "" {
			continue
		}
		if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, c.want) {
			t.Errorf("%v: said %q, %v, want %q", c.err, line, err, c.want)
		}
	}
	cancel()
	rest, err := io.ReadAll(lines)
	if len(rest) > 0 || err != nil {
		t.Errorf("said besides %q, %v", rest, err)
	}
	if err := <-ended; ExitCode(err) != exitDamage || !strings.HasPrefix(err.Error(), "4 times in ") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("exit %d, %v, want %d", ExitCode(err), err, exitDamage)
	}
}

// TestImageNBDGoneThere: an image that is removed at the server while it is served here is said to be that.
func TestImageNBDGoneThere(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, to := io.Pipe()
	var said bytes.Buffer
	socket := filepath.Join(shortDir(t), "s")
	ended := make(chan error, 1)
	go func() {
		args := append([]string{"image", "nbd", "debian", socket}, s.there()...)
		ended <- Run(ctx, args, strings.NewReader(""), to, &said)
	}()
	if _, err := out.Read(make([]byte, 200)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"image", "rm", "debian"}, {"image", "gc"}} {
		if code, _, said := s.run(append(args, s.here()...)...); code != 0 {
			t.Fatal(args, said)
		}
	}
	if _, err := io.ReadFull(readNBD(t, socket), make([]byte, 16)); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; ExitCode(err) != exitFailed || !strings.Contains(err.Error(), "could not be read: ") ||
		!strings.Contains(err.Error(), "the image is no longer in the server's store: ") {
		t.Errorf("exit %d, %v; said %s", ExitCode(err), err, said.String())
	}
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
