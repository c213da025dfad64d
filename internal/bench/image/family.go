package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// family watches how much memory a process and the programs that it has started take together.
type family struct {
	end  chan struct{}
	wait sync.WaitGroup
	most int64
}

// familyEvery is short beside the second for which a zstd program lives.
const familyEvery = 100 * time.Millisecond

func watchFamily(pid int) *family {
	f := &family{end: make(chan struct{})}
	f.wait.Go(func() { // ends with stop
		tick := time.NewTicker(familyEvery)
		defer tick.Stop()
		for {
			select {
			case <-f.end:
				return
			case <-tick.C:
				f.most = max(f.most, resident(pid))
			}
		}
	})
	return f
}

// stop ends the watch and returns the most bytes that were seen; 0 of a family that nobody watches.
func (f *family) stop() int64 {
	if f == nil {
		return 0
	}
	close(f.end)
	f.wait.Wait()
	return f.most
}

// resident adds up the resident memory of a process and its descendants, in bytes. Pages that several have are counted
// for each.
func resident(pid int) int64 {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	var size, pages int64
	if statm, err := os.ReadFile(filepath.Join(dir, "statm")); err == nil {
		_, _ = fmt.Sscan(string(statm), &size, &pages)
	}
	sum := pages * int64(os.Getpagesize())
	tasks, _ := filepath.Glob(filepath.Join(dir, "task/*/children"))
	for _, t := range tasks {
		list, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		for _, c := range bytes.Fields(list) {
			if n, err := strconv.Atoi(string(c)); err == nil {
				sum += resident(n)
			}
		}
	}
	return sum
}
