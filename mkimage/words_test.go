package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestContradictions has flags of which nothing would come, and values that are refused in words that help.
func TestContradictions(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	stub := testStub(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"GRUB without shim":   {[]string{"--out", "boot", "--shim", "none", "--grub", kernel}, "--shim none leaves"},
		"shim for a stick":    {[]string{"--usb", "x.img", "--shim", kernel}, "--shim is for machines that boot"},
		"iPXE for a stick":    {[]string{"--usb", "x.img", "--ipxe", ipxe}, "--ipxe is for machines that boot"},
		"a base URL for a CD": {[]string{"--iso", "x.iso", "--base-url", "http://a/b"}, "--base-url is for machines"},
		"a file of firmware":  {[]string{"--out", "boot", "--firmware", stub}, "--firmware " + stub + " is neither"},
		"two slips of the hand": {[]string{"--out", "boot", "--modules", "nett,e100"},
			`"nett" .*: did you mean net\?; "e100" .*: did you mean e1000\?`},
		"a slip in the default": {[]string{"--out", "boot", "--modules", "defalt"}, `did you mean default\?`},
		"a key too short": {append([]string{"--uki", "x.efi", "--stub", stub}, siteKey(t, 1024, time.Now())...),
			"the key has 1024 bits; firmware may take none below 2048"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			text, err := mkimage(t, append([]string{"--kernel", kernel}, c.args...)...)
			if err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) {
				t.Errorf("error %v, want %q; %s", err, c.want, text)
			}
		})
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	_, err := mkimage(t, "--kernel", kernel, "--out", filepath.Join(t.TempDir(), "boot"))
	if err == nil || !strings.Contains(err.Error(), `SOURCE_DATE_EPOCH is "yesterday": it must be seconds since 1970`) {
		t.Errorf("error %v", err)
	}
}

// TestDoubts says what may be wrong with what was made.
func TestDoubts(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	args := func(more ...string) []string {
		return append(more, "--kernel", kernel, "--ipxe", ipxe, "--out", filepath.Join(t.TempDir(), "boot"))
	}
	signed := func(until time.Time) []string {
		return args(append([]string{"--boot-uki", "--stub", testStub(t)}, siteKey(t, 2048, until)...)...)
	}
	for name, c := range map[string]struct {
		args       []string
		want, lack string
	}{
		"a certificate that has ended":  {signed(time.Now().Add(-time.Hour)), `the certificate of "lab" ended on `, ""},
		"one that begins tomorrow":      {signed(time.Now().Add(26 * time.Hour)), `begins on `, ""},
		"one that is good":              {signed(time.Now().Add(time.Hour)), "", "certificate of"},
		"a server's URL without a port": {args("--server", "https://a", "--pin", testPin), "nodes ask port 443", ""},
		"one with it":                   {args("--server", "https://a:8443", "--pin", testPin), "", "port 443"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := mkimage(t, c.args...)
			if err != nil || !strings.Contains(text, c.want) || c.lack != "" && strings.Contains(text, c.lack) {
				t.Errorf("%v: want %q and not %q in\n%s", err, c.want, c.lack, text)
			}
		})
	}
}

// TestExamples has an example for each subcommand, and no flag whose value has the name of a command: what stands in
// backquotes in a flag's words is taken for that.
func TestExamples(t *testing.T) {
	root := newCommand(testUserland)
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		if cmd.Name() != "help" && !strings.Contains(cmd.Example, "mkimage") {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if strings.Contains(f.Usage, "`") {
				t.Errorf("%s --%s: backquotes in %q", cmd.CommandPath(), f.Name, f.Usage)
			}
		})
	}
}
