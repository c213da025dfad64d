package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/inventory"
)

// budget is how the node's memory is shared out, in bytes.
type budget struct {
	writer  int64 // object bytes that wait for the disk
	cast    int64 // blocks of the cast that are not whole
	workers int
}

// shares divides the memory of a node. A node of 512 MiB has about 350 MiB left beside kernel and userland, and
// kexec will need room for a kernel and an initrd; what is bounded here is more or less all that grows in the agent.
func shares(memory int64, cpus int) (b budget, limit int64) {
	const mib = 1 << 20
	total := min(max(memory/4, 48*mib), 512*mib)
	b.writer = total * 5 / 8
	b.cast = total - b.writer
	// A worker holds a decoded frame and zstd's window beside its part of the queue.
	b.workers = int(min(max(total/(24*mib), 1), int64(cpus)+2)) // two may wait for the disk
	// The limit makes the collector work harder; it does not make allocations fail.
	return b, max(memory/2, 128*mib)
}

// limitMemory sets the limit for the Go runtime.
func limitMemory(inv *inventory.Reader) budget {
	b, limit := shares(inv.Memory(), runtime.NumCPU())
	debug.SetMemoryLimit(limit)
	return b
}

// mountFilesystems makes visible what the inventory reads: Secure Boot is an EFI variable, lockdown a file of
// securityfs.
func mountFilesystems(log *slog.Logger) {
	for _, m := range []struct{ probe, dir, fs string }{
		{"/sys/kernel/security/lsm", "/sys/kernel/security", "securityfs"},
		{"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "/sys/firmware/efi/efivars",
			"efivarfs"},
	} {
		if _, err := os.Stat(m.dir); err != nil {
			continue // BIOS, or a kernel without it
		}
		if _, err := os.Stat(m.probe); err == nil {
			continue // mounted already
		}
		if err := unix.Mount(m.fs, m.dir, m.fs, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
			""); err != nil {
			log.Debug("not mounted", "dir", m.dir, "error", err)
		}
	}
}
