package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/agent/treetest"
)

func TestUndriven(t *testing.T) {
	const pci, virtio = "sys/bus/pci/devices/", "sys/bus/virtio/devices/"
	root := treetest.Make(t, map[string]string{
		pci + "0000:00:1f.2/class": "0x010601\n", pci + "0000:00:1f.2/vendor": "0x8086\n", pci +
			"0000:00:1f.2/device": "0x2922\n",
		pci + "0000:01:00.0/class": "0x010802\n", pci + "0000:01:00.0/vendor": "0x144d\n", pci +
			"0000:01:00.0/device": "0xa808\n",
		pci + "0000:01:00.0/driver": "->../../drivers/nvme",
		pci + "0000:02:00.0/class":  "0x020000\n", pci + "0000:02:00.0/vendor": "0x10ec\n", pci +
			"0000:02:00.0/device": "0x8168\n",
		pci + "0000:00:02.0/class": "0x030000\n", pci + "0000:00:02.0/vendor": "0x8086\n", pci +
			"0000:00:02.0/device": "0x1234\n",
		virtio + "virtio0/device": "0x0002\n", virtio + "virtio0/driver": "->../../drivers/virtio_blk",
		virtio + "virtio1/device": "0x0001\n", virtio + "virtio2/device": "0x0004\n",
	})
	want := []string{"storage controller 0000:00:1f.2, PCI 8086:2922", "network card 0000:02:00.0, PCI 10ec:8168",
		"virtio network card virtio1"}
	if diff := cmp.Diff(want, (&Reader{Root: root}).Undriven()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
