package kmod

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// System is the running kernel.
type System struct{}

var _ Kernel = System{}

// Init implements Kernel with finit_module(2). The module must not be compressed: a kernel in lockdown checks the
// signature at its end, and only newer ones can decompress by themselves.
func (System) Init(file fs.File, params string) error {
	var err error
	if f, ok := file.(*os.File); ok {
		err = unix.FinitModule(int(f.Fd()), params, 0)
	} else {
		var data []byte
		if data, err = io.ReadAll(file); err == nil {
			err = unix.InitModule(data, params)
		}
	}
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// SystemDir is the folder with the modules of the running kernel.
func SystemDir() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("release of the kernel: %w", err)
	}
	return path.Join("/lib/modules", unix.ByteSliceToString(u.Release[:])), nil
}
