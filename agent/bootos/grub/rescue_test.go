package grub

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRescueWords: how a line of the commands inside GRUB is cut up.
func TestRescueWords(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string
		err  string
	}{
		{"search.fs_uuid 1111 root hd0,gpt2 ", []string{"search.fs_uuid", "1111", "root", "hd0,gpt2"}, ""},
		{"set prefix=($root)'/boot/grub'", []string{"set", "prefix=(hd0,1)/boot/grub"}, ""},
		{`set a="b  $root" ${root}c`, []string{"set", "a=b  hd0,1", "hd0,1c"}, ""},
		{"a '$root' $none \"\" *", []string{"a", "$root", "*"}, ""},
		{`a ";|{" '&<'`, []string{"a", ";|{", "&<"}, ""},
		{"\ta\t b", []string{"a", "b"}, ""},
		{"", nil, ""},
		{"a;b", nil, "has ';'"}, {"a { b", nil, "has '{'"}, {`a\ b`, nil, `has '\\'`}, {`"a\"b"`, nil, `has '\\'`},
		{"a\r", nil, `has '\r'`},
		{"a 'b", nil, "not closed"}, {"a $", nil, "without a name"}, {"a $?", nil, "without a name"},
		{"${a", nil, "no }"}, {"${a.b}", nil, "without a name"},
	} {
		s := newShell(&fakeFiles{}, Options{})
		if err := s.set("root", "hd0,1"); err != nil {
			t.Fatal(err)
		}
		got, err := s.rescueWords(tt.line)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: %v, want %q", tt.line, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", tt.line, diff)
		}
	}
}

func FuzzRescue(f *testing.F) {
	f.Add("search.fs_uuid 1111 root hd0,gpt2 \nset prefix=($root)'/boot/grub'\n",
		"menuentry a { linux /k; }\nset timeout=0\n")
	f.Add("if true; then\nset default=\"${root}\"\nfi\n# a\nnormal $prefix/x\n", "configfile /g\n")
	f.Fuzz(func(t *testing.T, core, config string) {
		files := &fakeFiles{files: map[string]string{"1:/g/grub.cfg": config, "1:/boot/grub/grub.cfg": config,
			"1:/k": "k"}, uuids: map[string]int{"1111": 1}}
		e, err := Default(files, Options{Device: 1, Path: "/g/grub.cfg", Core: core})
		var restart *Restart
		switch {
		case err == nil && e.Kernel.Path == "":
			t.Error("an entry without a kernel")
		case core != "" && err != nil && !errors.As(err, &restart):
			t.Errorf("%v, no restart", err)
		}
	})
}
