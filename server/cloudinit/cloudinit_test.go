package cloudinit_test

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/cloudinit"
)

// TestCheck has each header that cloud-init knows, and what it would leave out.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ user, meta, want string }{
		{"", "", ""},
		{"#cloud-config\n", "instance-id: a\nlocal-hostname: pc-1\n", ""},
		{"#cloud-config\npackages: [htop]\nruncmd:\n- echo\tx\n", "", ""},
		{"\n#Cloud-Config\na: 1\n", "", ""},
		{"#cloud-config\nwrite_files:\n- content: |\n    é €\n", "", ""},
		{"#cloud-config\n# none yet\n", "", ""},
		{"#cloud-config\na: 1\na: 2\n", "", ""}, // cloud-init takes the last
		{"#!/bin/sh\n\techo \x01\n", "", ""},
		{"#include\nhttp://x/\n", "", ""},
		{"#include-once\nhttp://x/\n", "", ""},
		{"#cloud-boothook\n#!/bin/sh\n", "", ""},
		{"#part-handler\n", "", ""},
		{"#cloud-config-archive\n- type: text/cloud-config\n  content: x\n", "", ""},
		{"## template: jinja\n#cloud-config\na: {% if x %}1{% endif %}\n", "", ""},
		{"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n", "", ""},
		{"MIME-Version: 1.0\n", "", ""},
		{"\x1f\x8b\x08", "", ""},
		{"Content-Type: text/plain\n\nSECRET", "", "no MIME-Version"},
		{"packages: [SECRET]\n", "", "first line is none that cloud-init knows"},
		{"# cloud-config\npackages: [SECRET]\n", "", "begin it with #cloud-config"},
		{"## template: jinja\npackages: [SECRET]\n", "", "after \"## template: jinja\""},
		{"#cloud-config\na:\n\tb: SECRET\n", "", "line 3 is indented by a tab"},
		{"#cloud-config\na: SECRET\u0080\n", "", "line 2 has the control character U+0080"},
		{"#cloud-config\na: SECRET\x07\n", "", "U+0007"},
		{"#cloud-config\n- SECRET\n", "", "not a map"},
		{"#cloud-config\nSECRET\n", "", "not a map"},
		{"#cloud-config\na: [SECRET\n", "", "it is no YAML"},
		{"#cloud-config\na: *SECRET\n", "", "it is no YAML"},
		{"#cloud-config\na: 1\n---\nb: SECRET\n", "", "more than one document"},
		{"#cloud-config-archive\na: SECRET\n", "", "not a list"},
		{"", "local-hostname: \"1234\"\n", ""},
		{"", "local-hostname: 1a\n", ""},
		{"", "SECRET", "meta_data: it is not a map"},
		{"", "- SECRET", "meta_data: it is not a map"},
		{"", "# nothing\n", "meta_data: it is not a map"},
		{"", "a: {SECRET\n", "meta_data: it is no YAML"},
		{"", "instance-id: a\nlocal-hostname: 1234\n", "line 2: local-hostname is no string"},
		{"", "local-hostname: [SECRET]\n", "local-hostname is no string"},
		{"", "local-hostname: yes\n", "local-hostname is no string"},
		{"", "local-hostname: 12:30\n", "local-hostname is no string"},
		{"", "local-hostname: true\n", "local-hostname is no string"},
		{"", "local-hostname:\n", "local-hostname is no string"},
	} {
		err := cloudinit.Check(c.user, c.meta)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %q: %v, want %q", c.user, c.meta, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q, %q: the error tells the content: %v", c.user, c.meta, err)
		}
	}
}

// TestCheckTemplates judges what is known before a template is resolved.
func TestCheckTemplates(t *testing.T) {
	for user, want := range map[string]string{
		"#cloud-config\na: {{.Name}}\n":  "",
		"{{.Labels.data}}":               "",
		"#cloud-config\n{{.Labels.x}}\n": "",
		"a: {{.Name}}\n":                 "", // its first line may become a header
		"a: 1\nb: {{.Name}}\n":           "none that cloud-init knows",
		"a: 1\n":                         "none that cloud-init knows",
		"#cloud-config\n- a\n":           "not a map",
	} {
		err := cloudinit.CheckTemplates(user, "local-hostname: {{.Name}}")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", user, err, want)
		}
	}
}

// FuzzCheck shows that any seed is judged, and that no error has two lines.
func FuzzCheck(f *testing.F) {
	f.Add("#cloud-config\na: &x [*x]\n", "local-hostname: 1234\n")
	f.Add("## template: jinja\n#cloud-config\n", "? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, user, meta string) {
		if err := cloudinit.Check(user, meta); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q", err)
		}
	})
}
