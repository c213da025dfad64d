package capturing

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/internal/volume/table"
)

const (
	mib      = 1 << 20
	diskSize = 12 * mib
)

// taker is a server that takes everything, a node's disk, and what the node says.
type taker struct {
	disk string

	mu     sync.Mutex
	frames map[[32]byte]int64
	sizes  map[int64]bool // of disks that frames were said to be of
	config *image.Config
	index  *image.Index
	steps  []string
}

func (k *taker) HasFrame(_ context.Context, _ string, disk int64, _ client.Frame) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sizes[disk] = true
	return false, nil
}

func (k *taker) PutFrame(_ context.Context, _ string, _ int64, f client.Frame, _ []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frames[f.Sum] = f.Size
	return nil
}

func (k *taker) FinishCapture(_ context.Context, _ string, _ int64, config, index []byte) (digest string, err error) {
	if k.config, err = image.ParseConfig(config); err != nil {
		return "", err
	}
	k.index, err = image.ParseIndex(index)
	return "sha256:1", err
}

func (k *taker) ChooseDisk(_ context.Context, _ string, _ int, d session.DiskID) (session.DiskID, error) {
	return d, nil
}

func (k *taker) List() []session.Disk {
	return []session.Disk{{Path: k.disk, Size: diskSize, SectorSize: 512, Model: "file"}}
}

func (k *taker) Step(step, level, message string, _ *session.Progress) {
	k.steps = append(k.steps, level+" "+step+" "+message)
}
func (k *taker) Progress(string, session.Progress) {}

// TestCapturePartition sends one partition of a node's disk: the image is that which a capture on the server's machine
// gives.
func TestCapturePartition(t *testing.T) {
	dir := t.TempDir()
	m := imagetest.NewMemory(make([]byte, diskSize), 512)
	g := imagetest.GPT(diskSize, 512, 2*mib, 5*mib, 3*mib)
	for i, p := range g.Partitions {
		imagetest.Fill(m.Bytes()[p.Start:p.End()], 3+uint64(i))
	}
	if err := table.Write(m, g, diskSize, 512); err != nil {
		t.Fatal(err)
	}
	k := &taker{disk: filepath.Join(dir, "disk"), frames: map[[32]byte]int64{}, sizes: map[int64]bool{}}
	if err := os.WriteFile(k.disk, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &session.Descriptor{V: 1, Session: "s", Action: session.CapturePartition, Target: &session.Target{},
		Job:    json.RawMessage(`{"v":1,"name":"part 2"}`),
		Upload: &session.Upload{ID: "u", Name: "golden", Level: "fast", Grid: 1 << 20}}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	o := Options{Server: k, Report: k, Disks: k, Workers: 2}
	if _, err := Capture(t.Context(), d, o); err != nil {
		t.Fatal(err)
	}
	s, err := image.OpenStore(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := capture.Capture(t.Context(), m, diskSize, 512, capture.Options{Store: s, Level: "fast",
		Partition: &partition.By{Number: 2}})
	if err != nil {
		t.Fatal(err)
	}
	if k.config.Content != r.Config.Content || k.config.Origin == nil || *k.config.Origin != *r.Config.Origin ||
		k.config.Origin.Number != 2 || k.config.DiskSize != 5*mib || k.index.DiskSize != 5*mib {
		t.Errorf("the node made %+v of it, origin %+v", k.config, k.config.Origin)
	}
	if len(k.frames) != len(k.index.Frames) || len(k.sizes) != 1 || !k.sizes[5*mib] {
		t.Errorf("%d frames were sent of %d, of disks of %v bytes", len(k.frames), len(k.index.Frames), k.sizes)
	}
	if !strings.Contains(strings.Join(k.steps, "\n"),
		"partition 2 (5242880 bytes from 3145728) of a disk of 12582912") {
		t.Errorf("the node says %q", k.steps)
	}
	d.Job = json.RawMessage(`{"v":1,"name":"nobody"}`)
	if _, err := Capture(t.Context(), d, o); err == nil ||
		!strings.Contains(err.Error(), "no partition with the name") {
		t.Errorf("%v", err)
	}
}
