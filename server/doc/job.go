package doc

import (
	"errors"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
)

// Kinds of jobs.
const (
	JobVerify   = "verify"   // read an image whole and compare every checksum
	JobGC       = "gc"       // free the space of what no image needs
	JobOptimize = "optimize" // compress an image again, better
	JobPush     = "push"     // send an image to a registry
	JobPull     = "pull"     // take an image from a registry
	JobCut      = "cut"      // make an image of one partition of an image of a disk
	JobImport   = "import"   // make an image of a file that was sent; it is begun by that
)

// States of a job, besides Done, Failed and Cancelled.
const JobRunning = "running"

// JobSpec is long work on images: POST /v1/jobs. Fields of other kinds than its own are empty.
type JobSpec struct {
	V    int    `json:"v"`
	Kind string `json:"kind"`
	// Key is chosen by who asks: the same key is the same job, so that a request whose answer was lost can be sent
	// again. Empty: a new job.
	Key      string `json:"key,omitempty"`
	Image    string `json:"image,omitempty"`    // verify, optimize, push, cut: name or digest
	Registry string `json:"registry,omitempty"` // push, pull: REGISTRY/REPOSITORY, and then :TAG or @DIGEST
	// PlainHTTP says that the registry has no TLS (push, pull).
	PlainHTTP bool   `json:"plain_http,omitempty"`
	Name      string `json:"name,omitempty"`      // pull, cut, import: of the image in the store
	Partition int    `json:"partition,omitempty"` // cut: by its number
	Again     bool   `json:"again,omitempty"`     // optimize: also what was optimized before
	Workers   int    `json:"workers,omitempty"`   // optimize: 0 is one for each CPU
	Unnamed   bool   `json:"unnamed,omitempty"`   // gc: also images without a name
	Partial   bool   `json:"partial,omitempty"`   // gc: also what is half fetched or half captured
	DryRun    bool   `json:"dry_run,omitempty"`   // gc: only say what would go
}

// Check says what is wrong with the spec.
func (s *JobSpec) Check() error {
	if s.V != session.Version {
		return fmt.Errorf("%w: job has v=%d, this server speaks v=%d", session.ErrVersion, s.V, session.Version)
	}
	needs := map[string]struct{ image, registry, name bool }{
		JobVerify: {image: true}, JobGC: {}, JobOptimize: {image: true}, JobPush: {image: true,
			registry: true}, JobPull: {registry: true, name: true}, JobCut: {image: true, name: true},
	}
	need, known := needs[s.Kind]
	optimize, gc := s.Kind == JobOptimize, s.Kind == JobGC
	switch {
	case s.Kind == JobImport:
		return errors.New("an import is begun by sending its file: POST /v1/uploads")
	case !known:
		return fmt.Errorf("job kind %.40q is none of verify, gc, optimize, push, pull, cut", s.Kind)
	case len(s.Key) > 64 || len(s.Image) > 300 || len(s.Registry) > 600:
		return errors.New("key, image or registry is too long")
	case (s.Image != "") != need.image:
		return fmt.Errorf("a job of kind %s and the image %q do not go together", s.Kind, s.Image)
	case (s.Registry != "") != need.registry:
		return fmt.Errorf("a job of kind %s and the registry %q do not go together", s.Kind, s.Registry)
	case (s.Name != "") != need.name:
		return fmt.Errorf("a job of kind %s and the name %q do not go together", s.Kind, s.Name)
	case s.PlainHTTP && !need.registry, (s.Again || s.Workers != 0) &&
		!optimize, (s.Unnamed || s.Partial || s.DryRun) && !gc:
		return fmt.Errorf("a setting does not go with a job of kind %s", s.Kind)
	case (s.Partition != 0) != (s.Kind == JobCut) || s.Partition < 0:
		return fmt.Errorf("a job of kind %s and the partition %d do not go together", s.Kind, s.Partition)
	case s.Workers < 0 || s.Workers > 4096:
		return fmt.Errorf("%d workers is not 0 to 4096", s.Workers)
	}
	if need.name {
		return image.CheckName(s.Name)
	}
	return nil
}

// Job is long work on images as shown.
type Job struct {
	ID      string    `json:"id"`
	Spec    JobSpec   `json:"spec"`
	State   string    `json:"state"`
	Serial  uint64    `json:"serial"` // grows with each change
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	// Done and Total are bytes; Total is 0 while nobody knows.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Error is why it failed, in words; Kind is one of Error's.
	Error  string     `json:"error,omitempty"`
	Kind   string     `json:"kind,omitempty"`
	Result *JobResult `json:"result,omitempty"`
}

// Over reports whether the job has ended.
func (j *Job) Over() bool { return Over(j.State) }

// JobResult is what a job did; the field of its kind is set.
type JobResult struct {
	Verify   *ImageVerified  `json:"verify,omitempty"`
	GC       *ImagesFreed    `json:"gc,omitempty"`
	Optimize *ImageOptimized `json:"optimize,omitempty"`
	Moved    *ImageMoved     `json:"moved,omitempty"` // push, pull
	Cut      *ImageCut       `json:"cut,omitempty"`
	Import   *ImageImported  `json:"import,omitempty"`
}

// ImageVerified says that an image is whole.
type ImageVerified struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	OK     bool   `json:"ok"`
}

// ImagesFreed is what a garbage collection removed, or would have.
type ImagesFreed struct {
	Images int   `json:"images"` // without a name, given up
	Blobs  int   `json:"blobs"`
	Files  int   `json:"files"` // unfinished ones
	Bytes  int64 `json:"bytes"`
	DryRun bool  `json:"dry_run"`
}

// ImageOptimized is what became of an image.
type ImageOptimized struct {
	Image      string   `json:"image"`
	Digest     string   `json:"digest"`
	Names      []string `json:"names"`  // that the new image took over
	Before     int64    `json:"before"` // bytes that a restore sent
	After      int64    `json:"after"`
	DoneBefore bool     `json:"done_before"` // there was nothing to do
	Seconds    float64  `json:"seconds"`
}

// ImageCut is an image that was made of one partition of another.
type ImageCut struct {
	Image     string  `json:"image"` // of the disk
	Partition int     `json:"partition"`
	Name      string  `json:"name"` // of the new one
	Digest    string  `json:"digest"`
	Object    int64   `json:"object"` // bytes that a restore sends
	Added     int64   `json:"added"`  // of them, bytes that the store did not have
	Seconds   float64 `json:"seconds"`
}

// ImageImported is an image that was made of a file that came by HTTP.
type ImageImported struct {
	Name    string   `json:"name"`
	Digest  string   `json:"digest"`
	Format  string   `json:"format"` // of the file
	Disk    int64    `json:"disk"`   // bytes
	Object  int64    `json:"object"` // bytes that a restore sends
	Added   int64    `json:"added"`  // of them, bytes that the store did not have
	Notes   []string `json:"notes"`  // what its file and its disk have that one should know
	Seconds float64  `json:"seconds"`
}

// ImageMoved is an image that was brought to a registry or from there.
type ImageMoved struct {
	Name    string  `json:"name"` // there, or here
	Digest  string  `json:"digest"`
	Seconds float64 `json:"seconds"`
}
