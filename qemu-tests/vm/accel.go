package vm

import (
	"context"

	"github.com/diskcast/diskcast/internal/accel"
)

// Programs that are run.
const (
	QEMU      = accel.QEMU
	QEMUARM64 = "qemu-system-aarch64"
)

// Accel is how QEMU runs guest code.
type Accel = accel.Accel

// KVM runs guest code on the processor; TCG translates it, some ten times slower, and works everywhere.
var (
	KVM = accel.KVM
	TCG = accel.TCG
	// ARM64 translates the code of 64-bit ARM. A newer processor authenticates pointers, which costs time.
	ARM64 = Accel{Name: "tcg", Args: []string{"-accel", "tcg,thread=multi", "-cpu", "cortex-a72"}}
)

// Accelerator returns the fastest accelerator that really boots a guest here. It is tried once per process;
// DISKCAST_ACCEL=kvm or tcg skips the trial.
func Accelerator(ctx context.Context) (Accel, error) { return accel.Choose(ctx) }
