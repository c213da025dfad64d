package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

// held is a library whose long work waits for the test.
type held struct {
	library.Library
	rig *rig
}

func (h *held) Do(ctx context.Context, s doc.JobSpec, w library.Watch) (*doc.JobResult, error) {
	if h.rig.begun != nil {
		goOn := make(chan struct{})
		h.rig.begun <- goOn
		select {
		case <-goOn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h.Library.Do(ctx, s, w)
}

// disk is 16 MiB, which two seeds have alike but for the last quarter.
func disk(seed uint64) []byte {
	b := make([]byte, 16<<20)
	imagetest.Random(b, 1)
	imagetest.Random(b[12<<20:], seed)
	return b
}

func (r *rig) store(name string, b []byte) string {
	r.t.Helper()
	res, err := capture.Capture(r.t.Context(), bytes.NewReader(b), int64(len(b)), 512,
		capture.Options{Store: r.lib.Store(), Name: name})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.Digest
}

// Both ends of the library say the same, to the letter.
func TestLibraryHasTwoEnds(t *testing.T) {
	r := newRig(t)
	r.store("old", disk(2))
	r.store("lab/new:1", disk(3))
	far, near := r.operator().Library(), r.lib
	ctx := t.Context()
	for name, ask := range map[string]func(library.Library) (any, error){
		"list":              func(l library.Library) (any, error) { return l.List(ctx) },
		"show":              func(l library.Library) (any, error) { return l.Show(ctx, "lab/new:1", 0) },
		"map":               func(l library.Library) (any, error) { return l.Show(ctx, "old", 100) },
		"diff":              func(l library.Library) (any, error) { return l.Diff(ctx, "old", "lab/new:1", false) },
		"diff with extents": func(l library.Library) (any, error) { return l.Diff(ctx, "old", "lab/new:1", true) },
		"diff of one":       func(l library.Library) (any, error) { return l.Diff(ctx, "old", "old", true) },
		"verify": func(l library.Library) (any, error) {
			return l.Do(ctx, doc.JobSpec{V: 1, Kind: doc.JobVerify, Image: "old"}, library.Watch{})
		},
		"gc": func(l library.Library) (any, error) {
			return l.Do(ctx, doc.JobSpec{V: 1, Kind: doc.JobGC, DryRun: true}, library.Watch{})
		},
	} {
		a, err := ask(near)
		if err != nil {
			t.Fatalf("%s, here: %v", name, err)
		}
		b, err := ask(far)
		if err != nil {
			t.Fatalf("%s, there: %v", name, err)
		}
		if d := cmp.Diff(a, b); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	d, err := far.Diff(ctx, "old", "lab/new:1", true)
	if err != nil || d.Same != 12<<20 || d.Changed != 4<<20 || len(d.Extents) != 1 || d.Extents[0].Offset != 12<<20 ||
		d.New == 0 || d.Object <= d.New {
		t.Errorf("diff: %+v, %v", d, err)
	}
	if _, err := far.Tag(ctx, "lab/new:1", "lab/second@name"); err != nil {
		t.Error(err)
	}
	if got, err := far.Remove(ctx, "lab/new:1"); err != nil || strings.Join(got.NamesLeft, " ") != "lab/second@name" {
		t.Errorf("remove: %+v, %v", got, err)
	}
	if got, err := far.Remove(ctx, "lab/second@name"); err != nil || len(got.NamesLeft) != 0 {
		t.Errorf("remove: %+v, %v", got, err)
	}
	res, err := far.Do(ctx, doc.JobSpec{Kind: doc.JobGC}, library.Watch{})
	if err != nil || res.GC.Blobs == 0 || res.GC.Bytes < 4<<20 {
		t.Errorf("gc: %+v, %v", res, err)
	}
	var status *client.StatusError
	if _, err := far.Show(ctx, "lab/new:1", 0); !errors.As(err, &status) || status.Code != 404 ||
		status.Kind != doc.KindNotFound {
		t.Errorf("an image that is gone: %v", err)
	}
	if _, err := far.Tag(ctx, "old", "..bad name"); !errors.As(err, &status) || status.Code != 422 {
		t.Errorf("a bad name: %v", err)
	}
}

// Damage is told with its kind, from the list, at once, and from a job.
func TestLibraryTellsDamage(t *testing.T) {
	r := newRig(t)
	digest := r.store("debian", disk(2))
	im, err := r.lib.Store().Open("debian")
	if err != nil {
		t.Fatal(err)
	}
	blob, _ := im.DataBlob(0)
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.lib.Store().Dir(), "blobs", "sha256", strings.TrimPrefix(blob, "sha256:"))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	far := r.operator().Library()
	_, err = far.Do(t.Context(), doc.JobSpec{Kind: doc.JobVerify, Image: "debian"}, library.Watch{})
	var job *client.JobError
	if !errors.As(err, &job) || job.Job.Kind != doc.KindDamaged || !strings.Contains(err.Error(), blob) ||
		!strings.Contains(err.Error(), "import or capture the same disk again") {
		t.Errorf("verify: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var status *client.StatusError
	if _, err := far.Show(t.Context(), digest, 0); !errors.As(err, &status) || status.Kind != doc.KindDamaged {
		t.Errorf("show: %v", err)
	}
	if list, err := far.List(t.Context()); err != nil || len(list) != 1 || !strings.Contains(list[0].Problem, blob) {
		t.Errorf("list: %+v, %v", list, err)
	}
}

// A job goes on when the connection of who asked for it breaks, and who asks again with the same key has the same job.
func TestJobSurvivesItsConnection(t *testing.T) {
	r := newRig(t)
	r.store("debian", disk(2))
	r.begun = make(chan chan struct{}, 1)
	c := r.operator()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var notes []string
	go func() {
		_, err := c.Library().Do(ctx, doc.JobSpec{Kind: doc.JobVerify, Image: "debian"},
			library.Watch{Note: func(s string) { notes = append(notes, s) }})
		ended <- err
	}()
	goOn := <-r.begun
	// The job is known before the one who asked for it goes.
	jobs, err := c.Jobs(t.Context())
	if err != nil || len(jobs) != 1 || jobs[0].State != doc.JobRunning {
		t.Fatalf("jobs: %+v, %v", jobs, err)
	}
	same, err := c.StartJob(t.Context(), jobs[0].Spec)
	if err != nil || same.ID != jobs[0].ID {
		t.Errorf("the same key: %+v, %v", same, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	close(goOn)
	j, err := c.Library().Wait(t.Context(), same.ID, nil)
	if err != nil || j.State != doc.Done || j.Result.Verify == nil || !j.Result.Verify.OK {
		t.Errorf("%+v, %v", j, err)
	}
	other := jobs[0].Spec
	other.Image = "another"
	var status *client.StatusError
	if _, err := c.StartJob(t.Context(), other); !errors.As(err, &status) || status.Code != 422 {
		t.Errorf("the same key for something else: %v", err)
	}
}

func TestCancelJob(t *testing.T) {
	r := newRig(t)
	r.store("debian", disk(2))
	r.begun = make(chan chan struct{}, 1)
	c := r.operator()
	j, err := c.StartJob(t.Context(), doc.JobSpec{V: 1, Kind: doc.JobVerify, Image: "debian"})
	if err != nil {
		t.Fatal(err)
	}
	<-r.begun
	if _, err := c.CancelJob(t.Context(), j.ID); err != nil {
		t.Fatal(err)
	}
	var ended *client.JobError
	if _, err := c.Library().Wait(t.Context(), j.ID, nil); !errors.As(err, &ended) ||
		ended.Job.State != doc.Cancelled {
		t.Errorf("%v", err)
	}
	var status *client.StatusError
	if _, err := c.CancelJob(t.Context(), "x-1"); !errors.As(err, &status) || status.Code != 404 ||
		!strings.Contains(err.Error(), "started anew") {
		t.Errorf("a job of another server: %v", err)
	}
}

// A server that is started anew while a job runs gets it again.
func TestJobOverARestart(t *testing.T) {
	first, second := newRig(t), newRig(t)
	for _, r := range []*rig{first, second} {
		r.store("debian", disk(2))
	}
	first.begun = make(chan chan struct{}, 1)
	var now atomic.Pointer[rig]
	var once sync.Once
	polled := make(chan struct{})
	now.Store(first)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r := now.Load()
		if r == first && q.Method == "GET" {
			once.Do(func() { close(polled) })
		}
		q.Header.Set("Authorization", "Bearer "+r.id.Token)
		r.srv.Config.Handler.ServeHTTP(w, q)
	}))
	front.TLS = first.srv.TLS
	front.StartTLS()
	defer front.Close()
	c, err := client.New(front.URL, client.Credentials{Token: first.id.Token, Pin: first.id.Pin})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	var notes []string
	go func() {
		res, err := c.Library().Do(t.Context(), doc.JobSpec{Kind: doc.JobVerify, Image: "debian"},
			library.Watch{Note: func(s string) { notes = append(notes, s) }})
		if err == nil && !res.Verify.OK {
			err = errors.New("not whole")
		}
		ended <- err
	}()
	<-first.begun
	<-polled // it knows its job
	now.Store(second)
	front.CloseClientConnections()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if jobs, err := second.operator().Jobs(t.Context()); err != nil || len(jobs) != 1 || jobs[0].State != doc.Done {
		t.Errorf("at the other server: %+v, %v", jobs, err)
	}
	if !strings.Contains(strings.Join(notes, "\n"), "started anew") {
		t.Errorf("notes: %q", notes)
	}
}
