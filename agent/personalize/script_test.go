package personalize

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// shell is busybox with what it needs, as a system's /bin/sh.
func shell(t *testing.T) map[string]string {
	t.Helper()
	program := need.Tool(t, "busybox")
	out := map[string]string{"proc/": "", "sys/": "", "dev/": "", "tmp/": "", "run/": ""}
	libraries, _ := exec.Command("ldd", program).Output() // a static one has none
	for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(libraries), -1) {
		b, err := os.ReadFile(lib)
		must(t, err)
		out[strings.TrimPrefix(lib, "/")] = string(b)
	}
	b, err := os.ReadFile(program)
	must(t, err)
	out["bin/sh"] = string(b)
	return out
}

// TestScript runs scripts in restored systems, and looks at what they did, told and left.
func TestScript(t *testing.T) {
	foreign := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 64)...)
	foreign[18] = 21 // PowerPC
	for _, tt := range []struct {
		name, script, timeout string
		files                 map[string]string
		want                  string   // the end, or the failure
		log                   []string // lines of the log
		made                  string   // what is in /root/made then
	}{
		{name: "good", script: "#!/bin/sh\ncd /root\necho hello; echo 'to stderr' >&2\n" +
			"echo $HOME $(id -u 2>/dev/null) > made\ntest -e /proc/self/stat && test -c /dev/null && echo bound\n" +
			"echo x > /run/gone; echo x > /tmp/gone\n(sleep 600 </dev/null >/dev/null 2>&1 &)\n",
			want: "script: done in", log: []string{"script: hello", "script: to stderr", "script: bound"},
			made: "/root"},
		{name: "no first line", script: "echo '{{.}}' > /root/made", want: "script: done in", made: "{{.}}"},
		{name: "fails", script: "echo why; echo not >&2; exit 3",
			want: "exit status 3: why not. The disk has the image"},
		{name: "too long", script: "echo on; while :; do :; done", timeout: "1s",
			want: "it was not done after 1s and was ended: on"},
		{name: "much output", script: "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done",
			want: "the first 200 lines", log: []string{"script: line 199", "more bytes are left out"}},
		{name: "no shell", script: "x", files: map[string]string{"bin/sh": "-> /nothing"}, want: "has no /bin/sh"},
		{name: "not a program", script: "x", files: map[string]string{"bin/sh": "x"},
			want: "no program that this node"},
		{name: "another processor", script: "x", files: map[string]string{"bin/sh": string(foreign)},
			want: "for another processor (ELF machine 21)"},
		{name: "another interpreter", script: "#!/usr/bin/python3 -u\n", want: "has no /usr/bin/python3"},
		{name: "proc is a link", script: "x", files: map[string]string{"proc/": "", "proc": "-> /root"},
			want: "no folder /proc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := with(common(systemd), with(shell(t), tt.files))
			if tt.files["proc"] != "" {
				delete(files, "proc/")
			}
			file := image(t, "ext4", system{files: files}, "")
			log, err := apply(t, file, personal.Settings{Script: &personal.Script{Run: tt.script, Timeout: tt.timeout}})
			if err != nil {
				log += err.Error()
			}
			for _, want := range append(tt.log, tt.want) {
				if !strings.Contains(log, want) {
					t.Errorf("no %q in\n%s", want, log)
				}
			}
			volumetest.Run(t, "e2fsck", "-fn", file)
			if tt.made != "" {
				if got := volumetest.Run(t, "debugfs", "-R", "cat /root/made", file); !strings.Contains(got, tt.made) {
					t.Errorf("it made %q", got)
				}
			}
			for _, dir := range []string{"/run", "/tmp"} {
				got := volumetest.Run(t, "debugfs", "-R", "ls -p "+dir, file)
				if strings.Contains(got, "gone") || strings.Contains(got, "diskcast") {
					t.Errorf("%s has %s", dir, got)
				}
			}
		})
	}
	if out, err := exec.Command("pgrep", "-f", "sleep 600").Output(); err == nil {
		t.Errorf("what a script left running runs still: %s", out)
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := &lines{log: func(s string) { got = append(got, s) }}
	for _, p := range []string{"a", "b\n\nc", "\r\n", strings.Repeat("x", 2*maxLine+1), "\nlast"} {
		fmt.Fprint(l, p)
	}
	l.end()
	want := []string{"ab", "c", strings.Repeat("x", maxLine), strings.Repeat("x", maxLine), "x", "last"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
	if words := l.last(); !strings.HasSuffix(words, "x last") || len(words) > maxTail+2 {
		t.Errorf("the end is %q", words)
	}
}
