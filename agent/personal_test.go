package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/agent/treetest"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// personalization answers a node that has told that its disk is written.
func (s *fakeServer) personalization(w http.ResponseWriter, r *http.Request) {
	var ask session.PersonalAsk
	if err := session.Decode(r.Body, &ask); err != nil {
		s.t.Errorf("personalization: %v", err)
	}
	s.mu.Lock()
	told := false
	for _, e := range s.events {
		told = told || e.Session == ask.Session && e.Step == session.StepVerified
	}
	s.mu.Unlock()
	if !told {
		s.t.Error("the node asks for its personalization before it told that its disk is verified")
	}
	json.NewEncoder(w).Encode(personal.Document{V: 1, Session: ask.Session, Node: r.PathValue("node"), Things: s.own})
}

// systemDisk is a disk whose one file system is a small system's, and the store with its image.
func systemDisk(t *testing.T) (source []byte, store *image.Store) {
	t.Helper()
	tree := t.TempDir()
	for name, content := range map[string]string{"etc/os-release": "ID=test", "etc/hostname": "old\n",
		"etc/hosts": "127.0.0.1 localhost\n", "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
		"etc/shadow": "root:*:19000:0:99999:7:::\n", "root/.profile": "", "etc/ssh/sshd_config": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	volumetest.Fill(t, tree, 24)
	file := volumetest.Sparse(t, 96<<20)
	volumetest.Run(t, "mkfs.ext4", "-q", "-d", tree, file)
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if store, err = image.OpenStore(filepath.Join(t.TempDir(), "store")); err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Capture(t.Context(), bytes.NewReader(source), int64(len(source)), 512,
		capture.Options{Store: store, Name: "img", Grid: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	return source, store
}

// TestPersonalized restores a system and makes it its own, again after that, and again with something that cannot be:
// each time only what differs from the image is received, the secret is in no output, and a part that could not be
// made its own has failed.
func TestPersonalized(t *testing.T) {
	need.Root(t)
	need.Tools(t, "mkfs.ext4", "e2fsck", "debugfs", "losetup")
	const secret = "$6$saltsalt$SECRETSECRETSECRET"
	source, store := systemDisk(t)
	s := serveImage(t, store)
	s.own = personal.Settings{Hostname: "pc-1", SSHHostKeys: personal.New, Passwords: map[string]string{"root": secret}}
	dir := t.TempDir()
	disk, cmdline := filepath.Join(dir, "disk.img"), filepath.Join(dir, "cmdline")
	for name, content := range map[string][]byte{disk: make([]byte, len(source)),
		cmdline: []byte("quiet diskcast.server=" + s.http.URL + " diskcast.pin=" +
			client.PinOf(s.http.Certificate().RawSubjectPublicKeyInfo).String())} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var console bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"-site", filepath.Join(dir, "none"), "-cmdline", cmdline, "-no-network", "-no-boot",
			"-disk", disk}, nil, &console, io.Discard)
	}()

	cd, cs := s.im.ConfigBlob()
	id, is := s.im.IndexBlob()
	restore := func(serial uint64, last string) (received int64, words string) {
		name := "s" + string(rune('0'+serial))
		s.descs <- &session.Descriptor{V: 1, Session: name, Node: "n1", Serial: serial, Action: session.Restore,
			Image: &session.Image{Name: "img", Manifest: s.im.Manifest(), Config: session.Blob{Digest: cd, Size: cs},
				Index: session.Blob{Digest: id, Size: is}, ObjectSize: s.im.ObjectSize()},
			Target: &session.Target{}, Mode: session.Delta, Verify: true, Personalize: true,
			Boot: &session.Boot{Method: session.BootStay}}
		for _, e := range s.wait(name, last) {
			if e.Progress != nil && e.Step == session.StepVerified {
				received = e.Progress.Received
			}
			if e.Step == session.StepFailed || e.Step == session.StepPersonalized {
				words += e.Message
			}
		}
		return received, words
	}
	if got, words := restore(1, session.StepBoot); got != s.im.ObjectSize() ||
		!strings.Contains(words, "in the disk (ext4): hostname: pc-1; SSH host keys: ") {
		t.Errorf("the first time %d of %d bytes were received, and it says %q", got, s.im.ObjectSize(), words)
	}
	look(t, disk, "pc-1\n", secret)
	differ, bytes := differing(t, s.im, source, disk)
	if all := len(s.im.Index().Chunks); differ == 0 || differ > all/2 {
		t.Errorf("%d of %d chunks differ from the image", differ, all)
	}

	s.own.Hostname = "pc-2"
	if got, words := restore(2, session.StepBoot); got != bytes {
		t.Errorf("the second time %d bytes were received, and %d chunks of %d bytes differed; it says %q", got, differ,
			bytes, words)
	}
	look(t, disk, "pc-2\n", secret)

	s.own = personal.Settings{Hostname: "pc-3", Passwords: map[string]string{"nobody": secret}}
	if _, words := restore(3, session.StepFailed); !strings.Contains(words, "no user nobody") {
		t.Errorf("what cannot be: %q", words)
	}
	look(t, disk, "old\n", "root:*:19000")

	s.own = personal.Settings{LoaderPassphrase: "SECRET words"}
	if _, words := restore(4, session.StepBoot); words != "nothing is written; "+forLoader {
		t.Errorf("a passphrase for the loader alone: %q", words)
	}
	look(t, disk, "old\n", "root:*:19000")
	e := s.wait("s4", session.StepBoot)
	if !strings.Contains(e[len(e)-1].Message, "the passphrase for the disk's boot loader was not used") {
		t.Errorf("a passphrase that is of no use: %q", e[len(e)-1].Message)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	events, err := json.Marshal(s.events)
	if err != nil || strings.Contains(string(events)+console.String(), "SECRET") {
		t.Errorf("the secret is in the node's events or on its console (%v)", err)
	}
}

// TestRemoveEmpty: what is in a folder that should be empty, as in one that is still mounted, stays.
func TestRemoveEmpty(t *testing.T) {
	dir := treetest.Make(t, map[string]string{"os/.": "", "personal/etc/hostname": "pc-1\n"})
	if err := removeEmpty(dir); err == nil || !strings.Contains(err.Error(), "personal") {
		t.Errorf("a folder with a file in it: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "personal/etc/hostname")); err != nil || string(b) != "pc-1\n" {
		t.Errorf("the file is %q, %v", b, err)
	}
	dir = treetest.Make(t, map[string]string{"os/.": "", "personal/.": ""})
	if err := removeEmpty(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty folder: %v", err)
	}
}

// look has e2fsprogs read the disk.
func look(t *testing.T, disk, hostname, inShadow string) {
	t.Helper()
	volumetest.Run(t, "e2fsck", "-fn", disk)
	if got := volumetest.Run(t, "debugfs", "-R", "cat /etc/hostname", disk); !strings.HasSuffix(got, hostname) {
		t.Errorf("the hostname is %q, want %q", got, hostname)
	}
	if got := volumetest.Run(t, "debugfs", "-R", "cat /etc/shadow", disk); !strings.Contains(got, inShadow) {
		t.Errorf("shadow is %q", got)
	}
}

// differing counts the chunks that the disk does not have as the image has them, and the stored bytes of their frames.
func differing(t *testing.T, im *image.Image, source []byte, disk string) (chunks int, size int64) {
	t.Helper()
	got, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	frames := map[int32]bool{}
	for _, c := range im.Index().Chunks {
		for _, e := range append(append([]image.Extent(nil), c.Extents...), c.Zeros...) {
			if !bytes.Equal(source[e.Offset:e.End()], got[e.Offset:e.End()]) {
				chunks++
				if c.Frame >= 0 {
					frames[c.Frame] = true
				}
				break
			}
		}
	}
	for f := range frames {
		size += im.Index().Frames[f].Length
	}
	return chunks, size
}
