package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/program"
)

// Bounds on hooks.
const (
	atOnce    = 8
	maxOutput = 4096 // bytes that are kept of what one prints, the last ones
)

// Runner runs hooks. It is a task; when it ends, so do they.
type Runner struct {
	hooks []Hook
	limit time.Duration
	log   *slog.Logger
	ready chan struct{}
	slots chan struct{}

	mu    sync.Mutex
	ctx   context.Context // nil: it does not run yet, or not any more
	ended bool
	work  sync.WaitGroup
	runs  map[string]*run // by key
}

// run is one hook that runs, or is to when the Runner does.
type run struct {
	hook  Hook
	s     *doc.Session
	ready func(context.Context) error
	done  func(doc.HookRun)
	stop  context.CancelFunc // nil: it has not begun
}

// New makes a runner of hooks, each of which may take so long.
func New(hooks []Hook, limit time.Duration, log *slog.Logger) *Runner {
	return &Runner{hooks: hooks, limit: limit, log: log, ready: make(chan struct{}), slots: make(chan struct{}, atOnce),
		runs: map[string]*run{}}
}

// Name implements task.Task.
func (r *Runner) Name() string { return "hooks" }

// Ready implements task.Task.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Run implements task.Task.
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	r.ctx = ctx
	for key, x := range r.runs {
		r.begin(key, x)
	}
	r.mu.Unlock()
	close(r.ready)
	<-ctx.Done()
	r.mu.Lock()
	r.ctx, r.ended = nil, true
	r.mu.Unlock()
	r.work.Wait()
	return nil
}

// Names lists the hooks that there are.
func (r *Runner) Names() []string {
	var out []string
	for _, h := range r.hooks {
		out = append(out, h.Name)
	}
	return out
}

// Start has a hook run for a session, once ready says so, and calls done with State, Words and Output of its end. A key
// that runs already is left alone. Done is never called when the server ends first.
func (r *Runner) Start(key, name string, s *doc.Session, ready func(context.Context) error, done func(doc.HookRun)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs[key] != nil || r.ended {
		return
	}
	x := &run{s: s, ready: ready, done: done}
	if i := slices.IndexFunc(r.hooks, func(h Hook) bool { return h.Name == name }); i >= 0 {
		x.hook = r.hooks[i]
	} else {
		x.hook = Hook{Name: name} // the settings had it when the session was made
	}
	r.runs[key] = x
	if r.ctx != nil {
		r.begin(key, x)
	}
}

// begin has a hook run. The caller holds the lock.
func (r *Runner) begin(key string, x *run) {
	ctx, stop := context.WithCancel(r.ctx)
	server := r.ctx
	x.stop = stop
	// Ends with its program, which the limit bounds, or with ctx.
	r.work.Go(func() {
		defer stop()
		row, err := r.one(ctx, x)
		r.mu.Lock()
		stopped := r.runs[key] != x
		if !stopped {
			delete(r.runs, key)
		}
		r.mu.Unlock()
		if stopped || server.Err() != nil {
			return // nobody asks any more, or it is asked again when the server starts
		}
		if err != nil {
			row.State, row.Words = doc.Failed, err.Error()
		}
		x.done(row)
	})
}

// Stop ends a hook, and what it started; nobody is told of its end.
func (r *Runner) Stop(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.runs[key]; x != nil && x.stop != nil {
		x.stop()
	}
	delete(r.runs, key)
}

// one runs a hook to its end.
func (r *Runner) one(ctx context.Context, x *run) (doc.HookRun, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return doc.HookRun{}, ctx.Err()
	}
	if len(x.hook.Argv) == 0 {
		return doc.HookRun{}, fmt.Errorf("the server's settings have no hook %s any more (hooks of diskcast.toml)",
			x.hook.Name)
	}
	if err := x.hook.check(); err != nil {
		return doc.HookRun{}, err
	}
	if err := x.ready(ctx); err != nil {
		return doc.HookRun{}, err
	}
	input, err := json.Marshal(x.s)
	if err != nil {
		return doc.HookRun{}, err
	}
	limited, stop := context.WithTimeout(ctx, r.limit)
	defer stop()
	var out tail
	cmd := exec.CommandContext(limited, x.hook.Argv[0], x.hook.Argv[1:]...)
	cmd.Env = append(environment(x.s), "LC_ALL=C.UTF-8")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(input, '\n')), &out, &out
	// It ends with the server, however that ends: the next one runs it again. The kernel looks at the thread that
	// started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.log.Info("hook runs", "hook", x.hook.Name, "session", x.s.ID)
	err = program.Run(cmd)
	row := doc.HookRun{State: doc.Done, Output: plain.Text(string(out.last()))}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return row, nil
	case ctx.Err() != nil:
		return row, ctx.Err()
	case limited.Err() != nil:
		return row, fmt.Errorf("it took longer than %v, and was ended (hook-time of diskcast.toml)", r.limit)
	case errors.As(err, &exit):
		return row, fmt.Errorf("%v: %s", exit, lastLine(row.Output))
	}
	return row, fmt.Errorf("it cannot be run: %w", err)
}

// environment is what a hook is told of its session beside its input. Words of strangers are made harmless.
func environment(s *doc.Session) []string {
	var nodes []string
	for i := range s.Parts {
		nodes = append(nodes, s.Parts[i].Node)
	}
	return []string{"DISKCAST_SESSION=" + s.ID, "DISKCAST_STATE=" + s.State,
		"DISKCAST_IMAGE=" + plain.Line(s.Image.Name, 300), "DISKCAST_REASON=" + plain.Line(s.Reason, 4096),
		"DISKCAST_PROFILE=" + s.Spec.Profile, "DISKCAST_NODES=" + strings.Join(nodes[:min(len(nodes), 4096)], " ")}
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return "it printed nothing"
	}
	return plain.Line(text[strings.LastIndexByte(text, '\n')+1:], 300)
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu  sync.Mutex // of what a child of the program still writes
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > 2*maxOutput {
		t.buf = slices.Clone(t.buf[len(t.buf)-maxOutput:])
	}
	return len(b), nil
}

func (t *tail) last() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.buf[max(0, len(t.buf)-maxOutput):])
}
