package erase

import (
	"encoding/binary"

	"github.com/diskcast/diskcast/agent/erase/nvme"
)

// fakeNVMe is the NVMe side of an imitation disk: namespace 1 of its controller.
type fakeNVMe struct {
	d                             *fakeDisk
	oacs                          uint16
	fna                           byte
	sanicap                       uint32
	namespaces                    []uint32
	unallocated                   uint64
	serial                        string
	running                       int
	stuck, failed, done, willFail bool
	ends                          func()
	formats                       []uint32
}

// withNVMe gives a disk everything that NVMe has.
func withNVMe(d *fakeDisk) *fakeDisk {
	d.nvme = &fakeNVMe{d: d, oacs: 1 << 1, fna: 1 << 2, sanicap: 7, namespaces: []uint32{1}, serial: serial}
	return d
}

func (n *fakeNVMe) Do(c *nvme.Command) error {
	refuse := func(status uint16) error { return &nvme.Error{Command: c.Name, Status: status} }
	le := binary.LittleEndian
	switch c.Opcode {
	case 0x06:
		switch c.DW10 {
		case 0:
			le.PutUint64(c.Data, uint64(n.d.size/512))
			c.Data[25], c.Data[26] = 1, 1 // two formats, the second
			le.PutUint32(c.Data[128+4:], 9<<16)
		case 1:
			copy(c.Data[4:24], n.serial+"                    ")
			copy(c.Data[24:64], "Imitation NVMe disk                     ")
			le.PutUint16(c.Data[256:], n.oacs)
			c.Data[524] = n.fna
			le.PutUint32(c.Data[328:], n.sanicap)
			le.PutUint32(c.Data[516:], 16)
			le.PutUint64(c.Data[296:], n.unallocated)
		case 2, 0x10:
			for i, id := range n.namespaces {
				le.PutUint32(c.Data[4*i:], id)
			}
		default:
			return refuse(2)
		}
		return nil
	case 0x02:
		n.log(c.Data)
		return nil
	case 0x80:
		n.d.touch()
		n.formats = append(n.formats, c.DW10)
		if c.DW10>>9&7 == nvme.EraseCrypto {
			n.d.erased(newStream([]byte("another key"), "garbage"))
		} else {
			n.d.erased(pattern{0xff})
		}
		return nil
	case 0x84:
		if n.running > 0 {
			return refuse(0x1d)
		}
		n.d.touch()
		n.running, n.failed, n.done = 3, false, false
		n.ends = func() {
			n.failed, n.done = n.willFail, !n.willFail
			switch nvme.Action(c.DW10 & 7) {
			case nvme.CryptoErase:
				n.d.erased(newStream([]byte("another key"), "garbage"))
			default:
				n.d.erased(pattern{0})
			}
		}
		return nil
	}
	return refuse(1)
}

func (n *fakeNVMe) log(b []byte) {
	if n.running > 0 && !n.stuck {
		if n.running--; n.running == 0 {
			n.ends()
		}
	}
	state := nvme.Never
	switch {
	case n.running > 0:
		state = nvme.Running
		binary.LittleEndian.PutUint16(b, uint16(65535/(n.running+1)))
	case n.failed:
		state = nvme.Failed
	case n.done:
		state = nvme.Done
	}
	binary.LittleEndian.PutUint16(b[2:], uint16(state))
}
