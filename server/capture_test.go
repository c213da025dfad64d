package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/capturing"
	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/server/doc"
)

// captureNode is the agent of a node, from its hello to the end of a capture of the file -disk.
func captureNode(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("capturenode", flag.ContinueOnError)
	server, pin, path := f.String("server", "", "API"), f.String("pin", "", "pin"), f.String("disk", "", "disk")
	if err := f.Parse(args); err != nil {
		return err
	}
	p, err := client.ParsePin(*pin)
	if err != nil {
		return err
	}
	info, err := os.Stat(*path)
	if err != nil {
		return err
	}
	d := session.Disk{Path: *path, Size: info.Size(), SectorSize: 512}
	c, err := client.New(client.Options{Server: *server, Pin: p, Hello: func() session.Hello {
		return session.Hello{Boot: "b1",
			Inventory: session.Inventory{NICs: []session.NIC{{Name: "eth0", MAC: "52:54:00:00:00:09", Boot: true}},
				Disks: []session.Disk{d}}}
	}})
	if err != nil {
		return err
	}
	if err := c.Connect(ctx); err != nil {
		return err
	}
	desc, err := c.Descriptor(ctx, 0, 30*time.Second)
	if err != nil {
		return err
	}
	n := &captured{c: c, disk: d, session: desc.Session}
	_, err = capturing.Capture(ctx, desc, capturing.Options{Server: n, Report: n, Disks: n, Uploads: 1, Workers: 1})
	return err
}

// captured is the node's disk, its reports, and a client that says on stdout what it sends.
type captured struct {
	c       *client.Client
	disk    session.Disk
	session string
	seq     uint64
}

func (n *captured) List() []session.Disk              { return []session.Disk{n.disk} }
func (n *captured) Progress(string, session.Progress) {}

func (n *captured) Step(step, level, message string, p *session.Progress) {
	n.seq++
	err := n.c.PostEvents(context.Background(),
		session.Events{Boot: "b1",
			Events: []session.Event{{Seq: n.seq, Session: n.session, Step: step, Level: level, Message: message,
				Progress: p}}})
	fmt.Println("step", step, err)
}

func (n *captured) HasFrame(ctx context.Context, id string, disk int64, f client.Frame) (bool, error) {
	return n.c.HasFrame(ctx, id, disk, f)
}

func (n *captured) ChooseDisk(ctx context.Context, id string, of int, d session.DiskID) (session.DiskID, error) {
	return n.c.ChooseDisk(ctx, id, of, d)
}

func (n *captured) PutFrame(ctx context.Context, id string, disk int64, f client.Frame, stored []byte) error {
	fmt.Println("frame")
	return n.c.PutFrame(ctx, id, disk, f, stored)
}

func (n *captured) FinishCapture(ctx context.Context, id string, disk int64, config, index []byte) (string, error) {
	return n.c.FinishCapture(ctx, id, disk, config, index)
}

// TestCaptureSession captures a node's disk into a real server, which is killed twice on the way.
func TestCaptureSession(t *testing.T) {
	l := newLab(t)
	disk := filepath.Join(t.TempDir(), "disk")
	err := writeDisk(disk, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(l.diskcast("session", "create", "--capture", "golden", "--nodes", "52:54:00:00:00:09",
		"--level", "fast"))
	l.n.DoClient(func() { err = nettest.AddAddr(nettest.Client, "10.77.0.50/24") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "capturenode", "-server", l.info.Server, "-pin", l.info.Pin, "-disk", disk)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.n.DoClient(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	frames, last := 0, ""
	for sc := bufio.NewScanner(out); sc.Scan(); {
		last = sc.Text()
		if last != "frame" {
			continue
		}
		if frames++; frames == 2 || frames == 5 {
			l.kill()
			l.serve()
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("node: %v\n%s", err, &errs)
	}
	if last != "step uploaded <nil>" {
		t.Errorf("the node's last word was %q", last)
	}
	s := l.session(id)
	if s.State != doc.Done || s.Image.Name != "golden" || s.Parts[0].Progress == nil ||
		s.Parts[0].Progress.Read != 64<<20 {
		t.Errorf("session %+v", s)
	}
	if out := l.diskcast("session", "show", id); !strings.Contains(out, "stored") ||
		!strings.Contains(out, "read 64.0 MiB of 64.0 MiB") {
		t.Errorf("show: %s", out)
	}
	if out := l.diskcast("image", "verify", "golden"); !strings.Contains(out, "whole") {
		t.Errorf("verify: %s", out)
	}
	// The same disk captured here is the same image, but for the frames that the lab's other image lent.
	var diff struct {
		Same bool `json:"same_disk"`
	}
	l.diskcast("image", "capture", disk, "here", "--level", "fast")
	if err := json.Unmarshal([]byte(l.diskcast("image", "diff", "golden", "here", "--json")), &diff); err != nil ||
		!diff.Same {
		t.Errorf("captured here it is another disk: %v", err)
	}
}
