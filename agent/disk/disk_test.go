package disk

import (
	"testing"

	"github.com/diskcast/diskcast/agent/treetest"
)

func TestPartition(t *testing.T) {
	for disk, want := range map[string]string{"/dev/sda": "/dev/sda3", "/dev/nvme0n1": "/dev/nvme0n1p3",
		"/dev/mmcblk0": "/dev/mmcblk0p3", "/dev/loop7": "/dev/loop7p3"} {
		if got := Partition(disk, 3); got != want {
			t.Errorf("%s: %s, want %s", disk, got, want)
		}
	}
}

func TestInUse(t *testing.T) {
	base := map[string]string{
		"sys/block/sda/dev": "8:0\n", "sys/block/sda/sda1/dev": "8:1\n", "sys/block/sda/sda2/dev": "8:2\n",
		"sys/block/sda/sda1/holders/.": "", "proc/self/mountinfo": "21 1 0:20 / /proc rw - proc proc rw\n",
	}
	with := func(name, content string) map[string]string {
		m := map[string]string{name: content}
		for k, v := range base {
			if _, ok := m[k]; !ok {
				m[k] = v
			}
		}
		return m
	}
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"free", base, ""},
		{"partition is mounted", with("proc/self/mountinfo", "30 1 8:2 / /mnt/x rw shared:1 - ext4 /dev/sda2 rw\n"),
			"sda2 is mounted at /mnt/x"},
		{"disk is mounted", with("proc/self/mountinfo", "30 1 8:0 / /mnt rw - vfat /dev/sda rw\n"),
			"sda is mounted at /mnt"},
		{"btrfs is mounted", with("proc/self/mountinfo", "30 1 0:33 /@ /mnt rw - btrfs /dev/sda1 rw\n"),
			"sda1 is mounted at /mnt"},
		{"another disk is mounted", with("proc/self/mountinfo", "30 1 8:17 / /mnt rw - ext4 /dev/sdb1 rw\n"), ""},
		{"swap", with("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n"),
			"sda2 is swap in use"},
		{"volume group", with("sys/block/sda/sda2/holders/dm-0", ""), "sda2 is part of dm-0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := InUse(treetest.Make(t, tt.files), "/dev/sda")
			if err != nil || got != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if got, err := InUse("/", "/tmp/file.img"); got != "" || err != nil {
		t.Errorf("a file: %q, %v", got, err)
	}
	// Without mountinfo nothing can be said, and that must not read as "free".
	files := with("x", "")
	delete(files, "proc/self/mountinfo")
	if _, err := InUse(treetest.Make(t, files), "/dev/sda"); err == nil {
		t.Error("no mountinfo, no error")
	}
}
