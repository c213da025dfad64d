package metrics

import (
	"fmt"
	"runtime/metrics"

	"github.com/prometheus/procfs"
)

// The names that Prometheus' own client libraries give these figures.
var (
	goroutines = &family{"go_goroutines", "Goroutines that exist.", "gauge", nil}
	heap       = &family{"go_memstats_heap_alloc_bytes", "Bytes of heap objects that live or were not swept yet.",
		"gauge", nil}
	collections = &family{"go_gc_cycles_total", "Garbage collections that ended.", "counter", nil}
	processor   = &family{"process_cpu_seconds_total", "Seconds of processor time, user and system.", "counter", nil}
	resident    = &family{"process_resident_memory_bytes", "Memory of the process that is resident.", "gauge", nil}
	openFiles   = &family{"process_open_fds", "Open file descriptors.", "gauge", nil}
	mostFiles   = &family{"process_max_fds", "How many file descriptors may be open.", "gauge", nil}
	born        = &family{"process_start_time_seconds", "When the process started, in seconds since 1970.", "gauge",
		nil}
)

// process tells what Go's runtime and the kernel say of this process.
func process(e *exposition) error {
	samples := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	for i, f := range []*family{goroutines, heap, collections} {
		e.set(f, float64(samples[i].Value.Uint64()))
	}
	self, err := procfs.Self()
	if err != nil {
		return fmt.Errorf("this process in /proc: %w", err)
	}
	stat, err := self.Stat()
	if err != nil {
		return fmt.Errorf("this process in /proc: %w", err)
	}
	start, err := stat.StartTime()
	if err != nil {
		return fmt.Errorf("when this process started: %w", err)
	}
	open, err := self.FileDescriptorsLen()
	if err != nil {
		return fmt.Errorf("open files of this process: %w", err)
	}
	limits, err := self.Limits()
	if err != nil {
		return fmt.Errorf("limits of this process: %w", err)
	}
	e.set(processor, stat.CPUTime())
	e.set(resident, float64(stat.ResidentMemory()))
	e.set(openFiles, float64(open))
	e.set(mostFiles, float64(limits.OpenFiles))
	e.set(born, start)
	return nil
}
