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

// Init implements Kernel with finit_module(2). A module that is compressed is unpacked here and given with
// init_module(2): a kernel in lockdown checks the signature at its end, and only newer ones decompress by themselves.
func (System) Init(file fs.File, params string) error {
	st, err := file.Stat()
	if err != nil {
		return err
	}
	f, isFile := file.(*os.File)
	if packed := path.Ext(st.Name()) == PackedSuffix; isFile && !packed {
		err = unix.FinitModule(int(f.Fd()), params, 0)
	} else {
		read := io.ReadAll
		if packed {
			read = Unpack
		}
		var data []byte
		if data, err = read(file); err == nil {
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
