package look

import (
	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/bootdir"
)

// LeastMemory is what a node has at least (docs/agent.md), in bytes.
const LeastMemory = 512 << 20

// MemoryNeed is the memory, in bytes, with which the archive is unpacked to its end: the unpacked files may take half
// of what the kernel leaves, the packed archive is still there meanwhile, and the kernel takes its part.
func MemoryNeed(m *contract.Manifest) int64 {
	const kernel = 64 << 20 // code, data and page tables of a distribution's kernel on a machine of this size
	return max(2*m.Unpacked, m.Unpacked+m.Files[bootdir.ArchiveFile].Size) + kernel
}
