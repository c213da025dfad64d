package machines

import (
	"fmt"
	"strings"
)

// Memory is what a node needs, held against what the machines have.
type Memory struct {
	Need    int64    `json:"need"`            // bytes
	Least   *Machine `json:"least,omitempty"` // of those that told theirs, the one with the least
	Short   []string `json:"short,omitempty"` // have less, with what they have
	Unknown []string `json:"unknown,omitempty"`
}

// Memory holds so many bytes of memory against what each machine has; the kernel's own part, which a machine does not
// count, is added to what it says.
func (c *Choice) Memory(need int64) *Memory {
	r := &Memory{Need: need}
	for i := range c.Machines {
		m := &c.Machines[i]
		if m.Memory <= 0 {
			r.Unknown = append(r.Unknown, m.Name)
			continue
		}
		if r.Least == nil || m.Memory < r.Least.Memory {
			r.Least = m
		}
		if m.Memory+kernelsPart < need {
			r.Short = append(r.Short, fmt.Sprintf("%s (%d MiB)", m.Name, m.Memory>>20))
		}
	}
	return r
}

// kernelsPart is the memory, in bytes, that a kernel keeps for itself on a machine of this size: MemTotal of a machine
// of 512 MiB is 460 to 480.
const kernelsPart = 56 << 20

// Words is a line for people.
func (m *Memory) Words() string {
	words := fmt.Sprintf("a node needs about %d MiB of memory for it", m.Need>>20)
	if m.Least == nil {
		return words
	}
	return fmt.Sprintf("%s; the least that these machines have is %d MiB (%s)", words, m.Least.Memory>>20, m.Least.Name)
}

// Notes are what the operator should know before machines start from it.
func (m *Memory) Notes() (notes []string) {
	if len(m.Short) > 0 {
		notes = append(notes, fmt.Sprintf("a node needs about %d MiB of memory for this archive, more than these "+
			"machines have: %s: fewer --modules or less --firmware make it smaller", m.Need>>20,
			strings.Join(m.Short, ", ")))
	}
	if len(m.Unknown) > 0 {
		notes = append(notes, fmt.Sprintf("how much memory these machines have is not known, and was not held against "+
			"the %d MiB that a node needs: %s", m.Need>>20, Few(m.Unknown)))
	}
	return notes
}
