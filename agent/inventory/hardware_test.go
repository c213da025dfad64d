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
