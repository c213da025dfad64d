package vm

import (
	"context"

	"github.com/diskcast/diskcast/internal/accel"
)

// QEMU is the program that is run.
const QEMU = accel.QEMU

// Accel is how QEMU runs guest code.
type Accel = accel.Accel

// KVM runs guest code on the processor; TCG translates it, some ten times slower, and works everywhere.
var (
	KVM = accel.KVM
	TCG = accel.TCG
)

// Accelerator returns the fastest accelerator that really boots a guest here. It is tried once per process;
// DISKCAST_ACCEL=kvm or tcg skips the trial.
func Accelerator(ctx context.Context) (Accel, error) { return accel.Choose(ctx) }
