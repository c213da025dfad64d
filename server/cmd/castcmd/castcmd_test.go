package castcmd

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

func TestOrdered(t *testing.T) {
	var out bytes.Buffer
	o := newOrdered(&out)
	defer o.close()
	want := make([]byte, 1000)
	for i := range want {
		want[i] = byte(i / 10)
	}
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(100) {
		if err := o.Block(int64(i*10), want[i*10:i*10+10]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Error("blocks came out in another order")
	}
}

// lineWriter gives the first line written to it.
type lineWriter struct {
	buf  bytes.Buffer
	line chan string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.buf.Write(p)
	if s, _, ok := strings.Cut(w.buf.String(), "\n"); ok && w.line != nil {
		w.line <- s
		w.line = nil
	}
	return len(p), nil
}

func execute(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args ...string) error {
	u := &ui.UI{Out: stdout, Err: stderr}
	cmd := Command(u)
	cmd.PersistentFlags().BoolVar(&u.JSON, "json", false, "")
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd.ExecuteContext(ctx)
}

// TestSendRecv sends a pipe and a file to two receivers, one of which writes a pipe.
func TestSendRecv(t *testing.T) {
	l := netlabtest.New(t, 3)
	obj := make([]byte, 5<<20+321)
	rand.NewChaCha8([32]byte{3}).Read(obj)
	dir := t.TempDir()
	file := filepath.Join(dir, "in")
	if err := os.WriteFile(file, obj, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		src   string
		stdin io.Reader
	}{{"file", file, nil}, {"pipe", "-", io.MultiReader(bytes.NewReader(obj))}} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ticket := &lineWriter{line: make(chan string, 1)}
			line := ticket.line
			var sendLog bytes.Buffer
			sent := make(chan error, 1)
			go func() {
				sent <- l.Do(l.Node(0), func() error {
					return execute(ctx, c.stdin, ticket, &sendLog, "send", c.src, "--interface", "eth0",
						"--min-receivers", "2")
				})
			}()
			var tk string
			select {
			case tk = <-line:
			case err := <-sent:
				t.Fatal("sender:", err, sendLog.String())
			}
			out := filepath.Join(dir, "out-"+c.name)
			var pipe, log1, log2 bytes.Buffer
			done := make(chan error, 2)
			go func() {
				done <- l.Do(l.Node(1), func() error {
					return execute(ctx, nil, io.Discard, &log1, "recv", tk, "-o", out, "--interface", "eth0", "--json")
				})
			}()
			go func() {
				done <- l.Do(l.Node(2), func() error {
					return execute(ctx, strings.NewReader(tk), &pipe, &log2, "recv", "-", "--interface", "eth0",
						"--label", "two")
				})
			}()
			for range 2 {
				if err := <-done; err != nil {
					t.Fatal("receiver:", err, log1.String(), log2.String())
				}
			}
			if err := <-sent; err != nil {
				t.Fatal("sender:", err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if st, err := os.Stat(out); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("what was received is open to others: %v, %v", st.Mode(), err)
			}
			if !bytes.Equal(got, obj) || !bytes.Equal(pipe.Bytes(), obj) {
				t.Error("the received bytes differ")
			}
			if !strings.Contains(sendLog.String(), "2 of 2 receivers have everything") ||
				!strings.Contains(log1.String(), `"event":"end"`) {
				t.Errorf("the sender says %q, the receiver %q", sendLog.String(), log1.String())
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"recv", "nonsense"}, "no cast ticket"},
		{[]string{"send", "/does/not/exist"}, "no such file"},
		{[]string{"send", "/dev/null", "--interface", "lo", "--groups", "10.0.0.0/8"}, "multicast"},
	} {
		err := execute(t.Context(), nil, io.Discard, io.Discard, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
	}
}
