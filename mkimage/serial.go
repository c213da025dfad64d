package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// overwrites refuses a file for a console that is one of the others, by whatever name.
func overwrites(serial string, others ...string) error {
	st, err := os.Stat(serial)
	if err != nil {
		return nil // it is made
	}
	for _, name := range others {
		if other, err := os.Stat(name); err == nil && os.SameFile(st, other) {
			return usageError{fmt.Errorf("--serial %s is the file %s, which would be overwritten: name another", serial,
				name)}
		}
	}
	return nil
}

// createSerial makes the file for a console. A pipe that nobody reads is refused: opening it would wait for ever.
func createSerial(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, 0o666)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("--serial %s is a pipe that nobody reads: start its reader first, or name a file", name)
	}
	if err != nil {
		return nil, fmt.Errorf("--serial: %w", err)
	}
	return f, nil
}
