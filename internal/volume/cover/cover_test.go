package cover

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
)

const mib = 1 << 20

// Trees of every algorithm, block size and depth that veritysetup makes are told from what they do not vouch for.
func TestMatches(t *testing.T) {
	need.Tools(t, "veritysetup")
	for _, options := range []string{"", "--salt=-", "--hash=sha512",
		"--hash=sha1 --data-block-size=1024 --hash-block-size=512", "--data-blocks=1", "--data-blocks=128",
		"--data-blocks=129", "--hash-block-size=1024"} {
		t.Run(options, func(t *testing.T) {
			dir := t.TempDir()
			data, tree := filepath.Join(dir, "data"), filepath.Join(dir, "tree")
			b := make([]byte, 4*mib)
			r := rand.New(rand.NewPCG(1, 2))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			if err := os.WriteFile(data, b, 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"format", data, tree}, strings.Fields(options)...)
			if out, err := exec.Command(need.Tool(t, "veritysetup"), args...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			h, err := os.ReadFile(tree)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Open(bytes.NewReader(h), int64(len(h)))
			if err != nil {
				t.Fatal(err)
			}
			want := int64(len(b))
			if _, n, ok := strings.Cut(options, "--data-blocks="); ok {
				if _, err := fmt.Sscan(n, &want); err != nil {
					t.Fatal(err)
				}
				want *= 4096
			}
			if c.Bytes != want {
				t.Errorf("it covers %d bytes, want %d", c.Bytes, want)
			}
			if got, comparable := c.Matches(bytes.NewReader(b), int64(len(b))), want > 4096; got != comparable {
				t.Errorf("its data matches: %v", got)
			}
			b[700] ^= 1
			if c.Matches(bytes.NewReader(b), int64(len(b))) {
				t.Error("other data matches")
			}
			if c.Matches(bytes.NewReader(b), want-1) {
				t.Error("what is too small matches")
			}
		})
	}
}

// What cannot be compared is a cover all the same; how much it covers may be unknown.
func TestOpen(t *testing.T) {
	integrity := make([]byte, headSize)
	copy(integrity, "integrt\x00\x02")
	le.PutUint64(integrity[16:], 2048)
	interleaved := bytes.Clone(integrity)
	interleaved[9] = 15
	odd := make([]byte, headSize)
	copy(odd, "verity\x00\x00\x09")
	store := make([]byte, headSize)
	copy(store, "SnAp\x01\x00\x00\x00\x01\x00\x00\x00\x08")
	text := make([]byte, headSize)
	copy(text, "SnApshot of a text")
	for _, x := range []struct {
		name  string
		b     []byte
		bytes int64 // -1: none
	}{{"integrity", integrity, mib}, {"interleaved", interleaved, -1}, {"of another version", odd, 0},
		{"store", store, 0}, {"text", text, -1}} {
		c, err := Open(bytes.NewReader(x.b), headSize)
		if x.bytes < 0 {
			if !errors.Is(err, volume.ErrNotThis) {
				t.Errorf("%s: %+v, %v", x.name, c, err)
			}
		} else if err != nil || c.Bytes != x.bytes || c.Matches(bytes.NewReader(x.b), headSize) {
			t.Errorf("%s: %+v, %v", x.name, c, err)
		}
	}
}

// The types are those that util-linux knows too, and each has one of its own.
func TestTypes(t *testing.T) {
	out, err := exec.Command(need.Tool(t, "sfdisk"), "--list-types", "-X", "gpt").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	names := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*([0-9A-F-]{36})\s+Linux (.*)$`).FindAllStringSubmatch(string(out),
		-1) {
		names[strings.ToLower(m[1])] = strings.TrimSpace(m[2])
	}
	for guid, name := range names {
		if strings.Contains(name, " verity (") {
			if of := strings.Replace(name, " verity (", " (", 1); names[ByType(guid)] != of {
				t.Errorf("%s (%s) is of %q, want %q", guid, name, ByType(guid), of)
			}
		} else if ByType(guid) != "" {
			t.Errorf("%s (%s) is taken for a tree", guid, name)
		}
	}
	of := map[string]string{}
	for tree, data := range hashed {
		if of[data] != "" || hashed[data] != "" {
			t.Errorf("%s has two trees, or is one", data)
		}
		of[data] = tree
	}
	if len(hashed) != 42 { // 21 architectures
		t.Errorf("%d types", len(hashed))
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"verity\x00\x00", "integrt\x00\x01\x00", "SnAp\x01\x00\x00\x00\x01"} {
		b := make([]byte, 64<<10)
		copy(b, s)
		copy(b[32:], "sha256")
		b[8], b[12], b[65], b[69], b[72] = 1, 1, 16, 16, 8
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if c.Bytes < 0 || c.What == "" {
			t.Errorf("%+v", c)
		}
		if c.Matches(bytes.NewReader(b), int64(len(b))) && int64(len(b)) < c.Bytes {
			t.Error("a match with less than it covers")
		}
	})
}
