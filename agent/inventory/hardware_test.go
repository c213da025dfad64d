package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/agent/treetest"
	"github.com/diskcast/diskcast/internal/session"
)

func TestHardware(t *testing.T) {
	const pci, mdio = "sys/bus/pci/devices/0000:02:00.0", "sys/bus/mdio_bus/devices/r8169-200:00"
	const alias = "pci:v000010ECd00008168sv00001043sd00008677bc02sc00i00"
	root := treetest.Make(t, map[string]string{
		pci + "/modalias": alias + "\n", pci + "/driver": "->../../../drivers/r8169",
		"sys/bus/drivers/r8169/module":             "->../../../../module/r8169",
		"sys/bus/usb/devices/usb1/uevent":          "DEVTYPE=usb_device\n",
		"sys/bus/cpu/devices/cpu0/modalias":        "cpu:type:x86,ven0000fam0006mod003A:feature:,0000\n",
		"sys/bus/serio/devices/serio0/modalias":    "serio:ty06pr00id00ex00\n",
		mdio + "/driver":                           "->../../../drivers/RTL8211F",
		"sys/bus/drivers/RTL8211F/module":          "->../../../../module/realtek",
		"sys/bus/acpi/devices/PNP0A03:00/modalias": "acpi:PNP0A03:\n",
	})
	want := &session.Hardware{Devices: []session.Device{{Alias: "acpi:PNP0A03:"},
		{Driver: "RTL8211F", Module: "realtek"}, {Alias: alias, Driver: "r8169", Module: "r8169"}}}
	if d := cmp.Diff(want, (&Reader{Root: root}).Hardware()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestFirmwareAsked(t *testing.T) {
	got := firmwareAsked([]string{
		"4,900,1,-;tg3 0000:01:00.0: Direct firmware load for tigon/tg3.bin failed with error -2\n SUBSYSTEM=pci\n",
		"6,901,1,-;bnx2 0000:02:00.0: firmware: direct-loading firmware bnx2/a.fw\n SUBSYSTEM=pci\n DEVICE=+pci:x\n",
		"3,902,1,-;e100 0000:03:00.0: firmware: failed to load e100/d101m.bin (-2)\n",
		"12,903,1,-;x: Direct firmware load for from-a-program.bin failed with error -2\n", // facility 1: a program
		"4,904,1,-;x: Direct firmware load for two words failed with error -2\n",
		"4,905,1,-;Direct firmware load for nothing\n", "", "4,1",
	})
	if d := cmp.Diff([]string{"tigon/tg3.bin", "bnx2/a.fw", "e100/d101m.bin"}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// TestGlance has all but the devices.
func TestGlance(t *testing.T) {
	r := Reader{Root: treetest.Make(t, map[string]string{
		"sys/class/dmi/id/sys_vendor":        "Dell Inc.\n",
		"sys/bus/pci/devices/0/modalias":     "pci:v00008086\n",
		"sys/bus/pci/devices/1/class":        "0x020000\n",
		"sys/bus/pci/devices/1/vendor":       "0x8086\n",
		"sys/bus/pci/devices/1/device":       "0x100e\n",
		"sys/block/sda/size":                 "2048\n",
		"sys/block/sda/queue/rotational":     "1\n",
		"sys/class/net/eth0/type":            "1\n",
		"sys/class/net/eth0/address":         "52:54:00:12:34:56\n",
		"sys/firmware/efi/efivars/Something": "x",
	})}
	all, glance := r.Read(), r.Glance()
	if all.Hardware == nil || len(all.Undriven) != 1 || len(all.Disks) != 1 || len(all.NICs) != 1 {
		t.Fatalf("the machine is not what was meant: %+v", all)
	}
	all.Hardware = nil
	if d := cmp.Diff(all, glance); d != "" {
		t.Error(d)
	}
}
