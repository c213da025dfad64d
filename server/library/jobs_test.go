package library

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/doc"
)

// worker does what the test says, job by job.
type worker struct {
	Library
	do func(ctx context.Context, s doc.JobSpec, w Watch) (*doc.JobResult, error)
}

func (w *worker) Do(ctx context.Context, s doc.JobSpec, x Watch) (*doc.JobResult, error) {
	return w.do(ctx, s, x)
}

type doing = func(context.Context, doc.JobSpec, Watch) (*doc.JobResult, error)

func newJobs(t *testing.T, do doing) (j *Jobs, stop func()) {
	t.Helper()
	j = NewJobs(&worker{do: do}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	<-j.Ready()
	over := false
	stop = func() {
		if !over {
			over = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return j, stop
}

func verify(n int) doc.JobSpec {
	return doc.JobSpec{V: 1, Kind: doc.JobVerify, Image: fmt.Sprint("image", n), Key: fmt.Sprint(n)}
}

func (j *Jobs) end(t *testing.T, id string) *doc.Job {
	t.Helper()
	for after := uint64(0); ; {
		v, err := j.Wait(t.Context(), id, after)
		if err != nil {
			t.Fatal(err)
		}
		if v.Over() {
			return v
		}
		after = v.Serial
	}
}

func TestJobsEnd(t *testing.T) {
	j, _ := newJobs(t, func(_ context.Context, s doc.JobSpec, w Watch) (*doc.JobResult, error) {
		w.Progress(50, 100)
		w.Progress(100, 100)
		switch s.Image {
		case "image1":
			return &doc.JobResult{Verify: &doc.ImageVerified{OK: true}}, nil
		case "image2":
			return nil, fmt.Errorf("it is bad: %w", &image.DamageError{Image: "image2"})
		}
		return nil, fmt.Errorf("image\x1b[2J: %w", image.ErrNotFound)
	})
	for n, want := range []string{1: "done  ", 2: "failed damaged ", 3: "failed not_found "} {
		if n == 0 {
			continue
		}
		v, err := j.Start(verify(n))
		if err != nil {
			t.Fatal(err)
		}
		v = j.end(t, v.ID)
		if got := fmt.Sprintf("%s %s ", v.State, v.Kind); got != want || v.Done != 100 || v.Ended.IsZero() ||
			strings.Contains(v.Error, "\x1b") {
			t.Errorf("job %d: %+v", n, v)
		}
	}
}

func TestJobsAreBounded(t *testing.T) {
	block := make(chan struct{})
	j, stop := newJobs(t, func(ctx context.Context, _ doc.JobSpec, _ Watch) (*doc.JobResult, error) {
		select {
		case <-block:
			return &doc.JobResult{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	var first string
	for n := range maxJobs {
		v, err := j.Start(verify(n))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = v.ID
		}
	}
	if _, err := j.Start(verify(99)); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if v, err := j.Start(verify(0)); err != nil || v.ID != first {
		t.Errorf("one that runs, asked for again: %+v, %v", v, err)
	}
	close(block)
	for n := range maxOld + 50 {
		v, err := j.Start(verify(1000 + n))
		for errors.Is(err, ErrTooMany) {
			for _, x := range j.List() {
				j.end(t, x.ID)
			}
			v, err = j.Start(verify(1000 + n))
		}
		if err != nil {
			t.Fatal(err)
		}
		j.end(t, v.ID)
	}
	if n := len(j.List()); n > maxOld+1 || n != len(j.jobs) {
		t.Errorf("%d jobs are kept, %d are known", n, len(j.jobs))
	}
	if _, err := j.Wait(t.Context(), first, 0); !errors.Is(err, ErrNoJob) {
		t.Errorf("the oldest one: %v", err)
	}
	stop()
	if _, err := j.Start(verify(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// The end of the server ends what runs, and says that it failed: it was not the operator.
func TestJobsEndWithTheServer(t *testing.T) {
	began := make(chan struct{})
	j, stop := newJobs(t, func(ctx context.Context, _ doc.JobSpec, _ Watch) (*doc.JobResult, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	v, err := j.Start(verify(1))
	if err != nil {
		t.Fatal(err)
	}
	<-began
	stop()
	if v = j.end(t, v.ID); v.State != doc.Failed || v.Kind != doc.KindEnded {
		t.Errorf("%+v", v)
	}
}

func TestJobSpecs(t *testing.T) {
	j, _ := newJobs(t, nil)
	for _, s := range []doc.JobSpec{
		{}, {V: 1}, {V: 2, Kind: doc.JobGC}, {V: 1, Kind: "erase"}, {V: 1, Kind: doc.JobVerify},
		{V: 1, Kind: doc.JobGC, Image: "x"}, {V: 1, Kind: doc.JobPush, Image: "x"},
		{V: 1, Kind: doc.JobPull, Registry: "r/x"},
		{V: 1, Kind: doc.JobPull, Registry: "r/x", Name: "no good"},
		{V: 1, Kind: doc.JobVerify, Image: "x", Unnamed: true},
		{V: 1, Kind: doc.JobOptimize, Image: "x", Workers: -1},
		{V: 1, Kind: doc.JobVerify, Image: "x", PlainHTTP: true},
		{V: 1, Kind: doc.JobVerify, Image: strings.Repeat("x", 301)},
	} {
		if v, err := j.Start(s); err == nil {
			t.Errorf("%+v is taken: %+v", s, v)
		}
	}
}

// TestBusyNamesTheJob: a job that finds the store in use by another of the same server names that one, and how to
// follow it; in use by another process, it does not.
func TestBusyNamesTheJob(t *testing.T) {
	busy := fmt.Errorf("%w: another process optimizes images there", image.ErrBusy)
	began, free := make(chan struct{}), make(chan struct{})
	j, _ := newJobs(t, func(_ context.Context, s doc.JobSpec, _ Watch) (*doc.JobResult, error) {
		if s.Image != "first" {
			return nil, busy
		}
		close(began)
		<-free
		return &doc.JobResult{}, nil
	})
	start := func(name string) string {
		t.Helper()
		v, err := j.Start(doc.JobSpec{V: 1, Kind: doc.JobOptimize, Image: name, Key: name})
		if err != nil {
			t.Fatal(err)
		}
		return v.ID
	}
	first := start("first")
	<-began
	v := j.end(t, start("second"))
	if v.Kind != doc.KindBusy || !strings.Contains(v.Error, "job "+first+" of this server optimizes first") ||
		!strings.Contains(v.Error, "`diskcast job watch "+first+"`") || strings.Contains(v.Error, "another process") {
		t.Errorf("%q, %s", v.Kind, v.Error)
	}
	close(free)
	j.end(t, first)
	if v := j.end(t, start("third")); v.Kind != doc.KindBusy || !strings.Contains(v.Error, "another process") {
		t.Errorf("%q, %s", v.Kind, v.Error)
	}
}

// TestGCNamesWhatIsBusy: while the store's space cannot be freed, the job says for which job or session of the server,
// and by which command it is followed.
func TestGCNamesWhatIsBusy(t *testing.T) {
	began, free := make(chan struct{}), make(chan struct{})
	j, _ := newJobs(t, func(_ context.Context, s doc.JobSpec, _ Watch) (*doc.JobResult, error) {
		switch s.Kind {
		case doc.JobGC:
			return nil, fmt.Errorf("%w: a capture or an import is under way", image.ErrBusy)
		case doc.JobPull:
			close(began)
			<-free
		}
		return &doc.JobResult{}, nil
	})
	var uses []string
	j.Uses(func() []string { return uses })
	says := func(want string) {
		t.Helper()
		v, err := j.Start(doc.JobSpec{V: 1, Kind: doc.JobGC})
		if err != nil {
			t.Fatal(err)
		}
		if v = j.end(t, v.ID); v.Kind != doc.KindBusy || !strings.Contains(v.Error, want) {
			t.Errorf("%q, %s; want %q", v.Kind, v.Error, want)
		}
	}
	says("a capture or an import is under way")
	uses = []string{"session s3 of this server captures golden into it"}
	says("session s3 of this server captures golden into it; ask again")
	pull, err := j.Start(doc.JobSpec{V: 1, Kind: doc.JobPull, Registry: "r/debian", Name: "debian"})
	if err != nil {
		t.Fatal(err)
	}
	<-began
	says("job " + pull.ID + " of this server pulls r/debian as debian: `diskcast job watch " + pull.ID + "`")
	close(free)
	j.end(t, pull.ID)
}
