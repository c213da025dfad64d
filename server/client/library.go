package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

// Library is the store of a server.
type Library struct{ c *Client }

var _ library.Library = (*Library)(nil)

// Library returns the server's images.
func (c *Client) Library() *Library { return &Library{c} }

func imagePath(ref string) string { return "/v1/images/" + url.PathEscape(ref) }

// List implements library.Library.
func (l *Library) List(ctx context.Context) ([]doc.ImageRow, error) {
	return call[[]doc.ImageRow](ctx, l.c, "GET", "/v1/images", nil)
}

// Show implements library.Library.
func (l *Library) Show(ctx context.Context, ref string, parts int) (*doc.Image, error) {
	v, err := call[*doc.Image](ctx, l.c, "GET", fmt.Sprintf("%s?map=%d", imagePath(ref), parts), nil)
	if err == nil && (v == nil || v.Config == nil || v.Config.Table == nil) {
		err = errors.New("the server's answer lacks the image's config")
	}
	return v, err
}

// Diff implements library.Library.
func (l *Library) Diff(ctx context.Context, was, is string, extents bool) (*doc.ImageDiff, error) {
	return call[*doc.ImageDiff](ctx, l.c, "GET", fmt.Sprintf("%s/diff?from=%s&extents=%v", imagePath(is),
		url.QueryEscape(was), extents), nil)
}

// Tag implements library.Library.
func (l *Library) Tag(ctx context.Context, ref, name string) (*doc.ImageName, error) {
	return call[*doc.ImageName](ctx, l.c, "PUT", imagePath(ref)+"/names/"+url.PathEscape(name), nil)
}

// Remove implements library.Library.
func (l *Library) Remove(ctx context.Context, ref string) (*doc.ImageRemoved, error) {
	return call[*doc.ImageRemoved](ctx, l.c, "DELETE", imagePath(ref), nil)
}

// JobError is how a job ended that did not end well.
type JobError struct{ Job *doc.Job }

func (e *JobError) Error() string { return e.Job.Error }

// Do implements library.Library by a job of the server. A connection that breaks, and a server that is started anew,
// are waited for: the job goes on, or is started again and goes on where it was. When ctx ends the job goes on without
// who asked for it, and w is told its id.
func (l *Library) Do(ctx context.Context, spec doc.JobSpec, w library.Watch) (*doc.JobResult, error) {
	spec.V, spec.Key = session.Version, rand.Text()
	if err := spec.Check(); err != nil {
		return nil, err
	}
	note := func(format string, args ...any) {
		if w.Note != nil {
			w.Note(fmt.Sprintf(format, args...))
		}
	}
	var j *doc.Job
	for tries := 0; ; {
		var err error
		if j == nil {
			j, err = l.c.StartJob(ctx, spec)
		} else {
			j, err = l.follow(ctx, j, w.Progress)
		}
		var status *StatusError
		switch {
		case err == nil && j.Kind == doc.KindEnded:
			err, j = &JobError{j}, nil // with the same key, of the server that comes
		case err == nil && j.Over():
			return j.Result, jobError(j)
		case err == nil:
			tries = 0
			continue
		case ctx.Err() != nil:
			if j != nil {
				note("job %s goes on at the server: `diskcast job watch %s` follows it, `diskcast job cancel %s` "+
					"ends it", j.ID, j.ID, j.ID)
			}
			return nil, ctx.Err()
		case errors.As(err, &status) && status.Code == http.StatusNotFound && j != nil:
			j = nil // with the same key: should it be there all the same, it is found
		case final(err):
			return nil, err
		}
		if tries++; tries > maxTries {
			return nil, err
		}
		note("%v; asking again", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// follow asks for the job's next change. It returns the job also with an error.
func (l *Library) follow(ctx context.Context, j *doc.Job, progress func(done, total int64)) (*doc.Job, error) {
	next, err := l.c.Job(ctx, j.ID, j.Serial, 30*time.Second)
	if err != nil {
		return j, err
	}
	if progress != nil && next.Total > 0 {
		progress(next.Done, next.Total)
	}
	return next, nil
}

func jobError(j *doc.Job) error {
	if j.State == doc.Done {
		return nil
	}
	return &JobError{j}
}

// Wait follows a job to its end.
func (l *Library) Wait(ctx context.Context, id string, progress func(done, total int64)) (*doc.Job, error) {
	j := &doc.Job{ID: id}
	for tries := 0; ; {
		next, err := l.follow(ctx, j, progress)
		switch {
		case err == nil && next.Over():
			return next, jobError(next)
		case err == nil:
			j, tries = next, 0
			continue
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case final(err):
			return nil, err
		}
		if tries++; tries > maxTries {
			return nil, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// StartJob starts long work.
func (c *Client) StartJob(ctx context.Context, spec doc.JobSpec) (*doc.Job, error) {
	return call[*doc.Job](ctx, c, "POST", "/v1/jobs", spec)
}

// Jobs lists the server's jobs, oldest first.
func (c *Client) Jobs(ctx context.Context) ([]doc.Job, error) {
	return call[[]doc.Job](ctx, c, "GET", "/v1/jobs", nil)
}

// Job returns a job when its serial is above after, or wait is over.
func (c *Client) Job(ctx context.Context, id string, after uint64, wait time.Duration) (*doc.Job, error) {
	return call[*doc.Job](ctx, c, "GET", fmt.Sprintf("/v1/jobs/%s?after=%d&wait=%v", url.PathEscape(id), after, wait),
		nil)
}

// CancelJob ends a job.
func (c *Client) CancelJob(ctx context.Context, id string) (*doc.Job, error) {
	return call[*doc.Job](ctx, c, "POST", "/v1/jobs/"+url.PathEscape(id)+"/cancel", nil)
}
