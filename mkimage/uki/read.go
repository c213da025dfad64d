package uki

import (
	"fmt"
)

// Section is the content of a section, as long as it is in memory: in the file zeros fill it up.
func Section(program []byte, name string) ([]byte, error) {
	f, err := open(program)
	if err != nil {
		return nil, err
	}
	s := f.Section(name)
	if s == nil {
		return nil, fmt.Errorf("no section %s", name)
	}
	size := uint64(min(s.Size, s.VirtualSize))
	if uint64(s.Offset)+size > uint64(len(program)) {
		return nil, fmt.Errorf("section %s ends behind the file", name)
	}
	return program[s.Offset : uint64(s.Offset)+size], nil
}
