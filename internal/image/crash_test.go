package image_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
)

const crashEnv = "DISKCAST_IMAGE_CRASH"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		seed, err := strconv.ParseUint(os.Getenv(crashEnv+"_SEED"), 10, 64)
		if err == nil {
			err = work(dir, seed)
		}
		fmt.Println("failed", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// work changes a store until it is killed. It prints what it has completed: after "kept NAME DIGEST" that image must
// never be lost.
func work(dir string, seed uint64) error {
	s, err := image.OpenStore(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	other, err := image.OpenStore(filepath.Join(dir, "other"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	r := rand.New(rand.NewPCG(seed, 3))
	disk := make([]byte, 400<<10)
	imagetest.Fill(disk, uint64(r.IntN(4)))
	shoot := func(s *image.Store, name string) (*capture.Result, error) {
		at := r.IntN(len(disk) - 1000)
		imagetest.Random(disk[at:at+1000], r.Uint64())
		return capture.Capture(ctx, bytes.NewReader(disk), int64(len(disk)), 512,
			capture.Options{Store: s, Name: name, Grid: 64 << 10, Level: capture.Fast, Workers: 1})
	}
	if _, err := shoot(other, "source"); err != nil {
		return err
	}
	trash := fmt.Sprintf("trash-%d", seed)
	for i := 0; ; i++ {
		name := fmt.Sprintf("keep-%d-%d", seed, i)
		switch r.IntN(6) {
		case 0, 1:
			c, err := shoot(s, name)
			if err != nil {
				return err
			}
			fmt.Println("kept", name, c.Digest)
		case 2:
			digest, err := s.Copy(ctx, other, "source", name, nil)
			if err != nil {
				return err
			}
			fmt.Println("kept", name, digest)
		case 3:
			c, err := shoot(s, trash)
			if err != nil {
				return err
			}
			if err := s.Tag(c.Digest, name); err != nil {
				return err
			}
			fmt.Println("kept", name, c.Digest)
		case 4:
			if err := s.Remove(trash); err != nil && !errors.Is(err, image.ErrNotFound) {
				return err
			}
		case 5:
			// Another process may be capturing.
			if _, err := s.GC(ctx, image.GCOptions{Unnamed: r.IntN(2) == 0}); err != nil &&
				!errors.Is(err, image.ErrBusy) {
				return err
			}
		}
	}
}

// TestKill kills processes that capture, copy, name, remove and collect garbage, at points that nobody chose. Whatever
// was complete is whole afterwards, and the store is as good as new.
func TestKill(t *testing.T) {
	seeds, stores := 200, 20
	if testing.Short() {
		seeds, stores = 20, 4
	}
	for n := range stores {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			kept := map[string]string{}
			for i := range seeds / stores {
				seed := uint64(n*1000 + i)
				// The time runs from the start, so that making the store is hit too.
				life := time.Duration(rand.New(rand.NewPCG(seed, 4)).IntN(120)) * time.Millisecond
				killWorker(t, dir, seed, life, kept)
				checkStore(t, dir, kept)
			}
			s, err := image.OpenStore(filepath.Join(dir, "store"))
			if err != nil {
				t.Fatal(err)
			}
			gc(t, s, image.GCOptions{Unnamed: true, Partial: true})
			checkStore(t, dir, kept)
			if n := files(t, filepath.Join(dir, "store", ".diskcast", "tmp")); n != 0 {
				t.Errorf("%d unfinished files are left after garbage collection", n)
			}
		})
	}
}

// killWorker kills a worker after some time and notes what it has completed.
func killWorker(t *testing.T, dir string, seed uint64, life time.Duration, kept map[string]string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+dir, fmt.Sprintf("%s_SEED=%d", crashEnv, seed))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	timer := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 3 && f[0] == "kept" && len(f[2]) == 71: // not the half of a line
			kept[f[1]] = f[2]
		case len(f) > 0 && f[0] == "failed":
			t.Errorf("seed %d: %s", seed, lines.Text())
		}
	}
	_ = cmd.Wait() // it was killed
}

func checkStore(t *testing.T, dir string, kept map[string]string) {
	t.Helper()
	s, err := image.OpenStore(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, e := range list {
		have[e.Name] = e.Digest
		if err := verify(t, s, e.Digest); err != nil {
			t.Fatalf("image %q: %v", e.Name, err)
		}
	}
	for name, digest := range kept {
		if have[name] != digest {
			t.Fatalf("image %s was complete and is now %q, not %s", name, have[name], digest)
		}
	}
}

// TestTwoProcesses has two processes change one store at the same time until they are killed.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	for round := range uint64(4) {
		var wg sync.WaitGroup
		kept := [2]map[string]string{{}, {}}
		for i := range uint64(2) {
			wg.Go(func() { killWorker(t, dir, 7000+10*round+i, 300*time.Millisecond, kept[i]) })
		}
		wg.Wait()
		for i := range kept {
			checkStore(t, dir, kept[i])
		}
	}
}
