package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/diskcast/diskcast/internal/kmod"
)

func TestLoad(t *testing.T) {
	index, err := kmod.NewIndex([]kmod.Module{
		{Path: "kernel/ext4.ko",
			Info: kmod.Info{Name: "ext4", Depends: []string{"jbd2"}, Aliases: []string{"fs-ext4"}}},
		{Path: "kernel/jbd2.ko", Info: kmod.Info{Name: "jbd2"}},
	}, []string{"inside"})
	if err != nil {
		t.Fatal(err)
	}
	dir := fstest.MapFS{"kernel/ext4.ko": {}, "kernel/jbd2.ko": {}}
	for _, c := range []struct {
		name  string
		names []string
		quiet bool
		want  string
		err   string
	}{
		{"as the kernel asks", []string{"fs-ext4"}, true, "insmod jbd2.ko \ninsmod ext4.ko a=1\n", ""},
		{"what the kernel asks for is not there", []string{"net-pf-40"}, true, "", ""},
		{"unknown", []string{"nothing", "jbd2"}, false, "insmod jbd2.ko \n", "nothing: no module of this name"},
		{"part of the kernel", []string{"inside"}, false, "", ""},
	} {
		var out bytes.Buffer
		l := &kmod.Loader{Index: index, Dir: dir, Kernel: kernel{dry: true, out: &out}, Params: func(m string) string {
			if m == "ext4" {
				return "a=1"
			}
			return ""
		}}
		err := load(l, c.names, c.quiet)
		if out.String() != c.want || (err == nil) != (c.err == "") || err != nil &&
			!strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, out.String(), err, c.want, c.err)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for name, args := range map[string][]string{"nothing": nil, "unknown option": {"-z"},
		"remove what is not there": {"-r", "dc-no-such-module"}} {
		if err := run(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
