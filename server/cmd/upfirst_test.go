package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/up"
)

// TestUpBrings has up import an image and apply a lab once, and again, when nothing is left to do.
func TestUpBrings(t *testing.T) {
	s := newShop(t)
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b := make([]byte, 1<<20)
	imagetest.Random(b[:1<<16], 7)
	disk := file("debian.raw", b)
	lab := file("lab.yaml", []byte("machines:\n  - {name: pc-01, mac: 52:54:00:00:00:01, labels: {room: 210}}\n"))
	bring := func(json, dry bool) (*up.Result, string) {
		t.Helper()
		var said bytes.Buffer
		e := &env{UI: ui.UI{Err: &said, JSON: json}, in: strings.NewReader("")}
		f := firsts{images: []string{"debian=" + disk}, labs: []string{lab}}
		if flag, err := f.check(e); err != nil || flag == "" || f.name() != "debian" {
			t.Fatal(flag, err)
		}
		r := &up.Result{URL: s.url, Settings: &config.Settings{State: s.state}}
		if err := e.bring(t.Context(), &f, r, dry, nil); err != nil {
			t.Fatalf("%v: %s", err, &said)
		}
		var words strings.Builder
		for _, step := range r.Steps {
			words.WriteString(string(step.Done) + " " + step.What + "\n")
		}
		return r, words.String()
	}
	expect := func(words, got string, changed, is bool) {
		t.Helper()
		if is != changed {
			t.Errorf("changed: %v\n%s", is, got)
		}
		for w := range strings.SplitSeq(words, "|") {
			if !strings.Contains(got, w) {
				t.Errorf("it says\n%s, want %q", got, w)
			}
		}
	}
	r, got := bring(false, true)
	expect("would image debian of|would what "+lab+" says of machine", got, false, r.Changed)
	if code, out, _ := s.run(append([]string{"image", "list"}, s.there()...)...); code != 0 ||
		strings.Contains(out, "debian") {
		t.Errorf("a dry run imported: %s", out)
	}
	r, got = bring(true, false)
	expect("made image of "+disk+"\ndebian  sha256:|made what "+lab+" says: 1 changed\nadd machine pc-01", got, true,
		r.Changed)
	for want, args := range map[string][]string{"whole": {"image", "verify", "debian"},
		"pc-01": {"machine", "list", "--select", "room=210"}} {
		if code, out, said := s.run(append(args, s.there()...)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%v: %d %s%s, want %q", args, code, out, said, want)
		}
	}
	imagetest.Random(b[:1<<16], 8)
	file("debian.raw", b) // another one, which up leaves alone and says so
	r, got = bring(false, false)
	expect("kept image debian, |was not read|diskcast image import|kept all that", got, false, r.Changed)
	if code, _, said := s.run(append([]string{"image", "rm", "debian"}, s.there()...)...); code != 0 {
		t.Fatal(said)
	}
	r, got = bring(false, false)
	expect("made image of "+disk+"\ndebian  sha256:|compressed|kept all that", got, true, r.Changed)
}

// TestUpSaysTheNextSession: the session that up proposes is of machines that the lab's file gives a profile, which an
// image on the command line would leave out.
func TestUpSaysTheNextSession(t *testing.T) {
	const a, b = "  - {name: pc-1, labels: {room: 210, seat: 1}, profile: lab}\n",
		"  - {name: pc-2, labels: {room: 210, seat: 2}, profile: lab}\n"
	const import1, nodes = "image import DISK.raw --name debian", "--image debian --nodes all --disk only --watch"
	for _, c := range []struct {
		name, lab string
		image     bool
		want      []string
	}{
		{"a label of all", "machines:\n" + a + b, true, []string{"create --on room=210 --watch"}},
		{"no image", "machines:\n" + a + b, false, []string{import1, "create --on room=210 --watch"}},
		{"another machine has the label", "machines:\n" + a + b + "  - {name: pc-3, labels: {room: 210}}\n", true,
			[]string{"create --on pc-1 --watch"}},
		{"one of them has not", "machines:\n" + a + b + "  - {name: pc-3, profile: lab}\n", true,
			[]string{"create --on pc-1 --watch"}},
		{"words that need quotes", "machines:\n  - {name: pc-1, labels: {room: \"a b\"}, profile: lab}\n", true,
			[]string{"create --on pc-1 --watch"}},
		{"no profile", "machines:\n  - {name: pc-1, labels: {room: 210}}\n", true, []string{nodes}},
		{"no lab", "", false, []string{import1, nodes}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			e := &env{UI: ui.UI{Out: &out, Err: &out}, in: strings.NewReader("")}
			f := &firsts{}
			if c.lab != "" {
				path := filepath.Join(t.TempDir(), "lab.yaml")
				if err := os.WriteFile(path, []byte(c.lab), 0o600); err != nil {
					t.Fatal(err)
				}
				f.labs = []string{path}
			}
			if c.image {
				f.sources = []source{{"debian", "debian.raw"}}
			}
			if _, err := f.check(e); err != nil {
				t.Fatal(err)
			}
			e.upWords(&up.Result{URL: "https://10.0.0.1:8443", Settings: config.Defaults(), Changed: true}, f, false)
			_, next, _ := strings.Cut(out.String(), "\nnext ")
			lines := strings.Split(strings.TrimSpace(next), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("it says %q, want %q", lines, c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("it says %q, want %q", lines[i], want)
				}
			}
		})
	}
}

// TestUpFirstWrong has what is wrong on the command line told before anything is done.
func TestUpFirstWrong(t *testing.T) {
	wrong := filepath.Join(t.TempDir(), "lab.yaml")
	if err := os.WriteFile(wrong, []byte("machnies: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		code int
		f    firsts
	}{
		{"say NAME=FILE, such as debian=debian.raw", exitUsage, firsts{images: []string{"debian.raw"}}},
		{"say NAME=FILE", exitUsage, firsts{images: []string{"debian="}}},
		{"--image bad..name", exitUsage, firsts{images: []string{"bad..name=" + wrong}}},
		{"debian twice", exitUsage, firsts{images: []string{"debian=" + wrong, "debian=" + wrong}}},
		{"no such file", exitFailed, firsts{images: []string{"debian=/none.raw"}}},
		{"did you mean machines?", exitUsage, firsts{labs: []string{wrong}}},
		{"no such file", exitFailed, firsts{labs: []string{"/none.yaml"}}},
	} {
		_, err := c.f.check(&env{})
		if err == nil || !strings.Contains(err.Error(), c.want) || ExitCode(err) != c.code {
			t.Errorf("%v: %v, exit code %d; want %q and %d", c.f.images, err, ExitCode(err), c.want, c.code)
		}
	}
}
