package bench

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"
)

const long = time.Minute

func shell(script string) Program { return Program{Args: []string{"sh", "-c", script}} }

func TestOutput(t *testing.T) {
	if out, err := shell("echo out; echo word >&2").Output(t.Context(), long); out != "out\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := shell("echo word >&2; exit 3").Output(t.Context(), long); err == nil ||
		err.Error() != "sh: exit status 3: word" {
		t.Error(err)
	}
	if _, err := shell("cat").Output(t.Context(), long); err != nil {
		t.Error("its stdin is not empty:", err)
	}
	if _, err := (Program{Args: []string{"/no/such/program"}}).Output(t.Context(), long); err == nil {
		t.Error("a program that there is not")
	}
}

func TestMeasured(t *testing.T) {
	var errs bytes.Buffer
	p := shell("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo word >&2")
	p.Stderr = &errs
	c, err := p.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(long); err != nil {
		t.Fatal(err)
	}
	if c.CPU() <= 0 || c.RSS() < 100<<10 || !c.Ended.After(c.Began) || errs.String() != "word\n" ||
		c.Words() != "word" {
		t.Errorf("CPU %v, RSS %v, %v, %q, %q", c.CPU(), c.RSS(), c.Ended.Sub(c.Began), &errs, c.Words())
	}
	c.Stop() // of what has ended
}

// TestEnded ends pipelines, each in another way, and looks for their end on the pipe that all of their processes have
// open.
func TestEnded(t *testing.T) {
	for name, end := range map[string]func(c *Child, stop func()) error{
		"stopped":   func(c *Child, _ func()) error { c.Stop(); return nil },
		"limit":     func(c *Child, _ func()) error { return c.Wait(time.Millisecond) },
		"cancelled": func(c *Child, stop func()) error { stop(); return c.Wait(long) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			rd, wr, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer rd.Close()
			p := shell("echo begins; sleep 1000 | (sleep 1000; echo)")
			p.Stdout = wr
			c, err := p.Start(ctx)
			if err != nil {
				t.Fatal(err)
			}
			begins := make([]byte, len("begins\n"))
			if _, err := io.ReadFull(rd, begins); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- end(c, stop) }()
			// The end of the file comes when the last of them has closed it.
			if rest, err := io.ReadAll(rd); len(rest) > 0 || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
			if err := <-ended; (err == nil) != (name == "stopped") {
				t.Error(err)
			}
		})
	}
}
