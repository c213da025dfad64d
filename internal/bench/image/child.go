package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/optimize"
	"github.com/diskcast/diskcast/internal/image/restore"
)

// outcome is what a child tells its parent.
type outcome struct {
	Stored  int64 `json:"stored"`  // bytes that the capture added to the store, or that the optimized image has
	Object  int64 `json:"object"`  // bytes of the image
	Written int64 `json:"written"` // bytes that the restore wrote
}

// child is one of our own operations in a process of its own, so that its CPU time and memory are told apart:
//
//	child capture STORE NAME LEVEL DISK
//	child optimize STORE NAME
//	child restore STORE NAME TARGET | delta STORE NAME TARGET | check STORE NAME TARGET
func child(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) < 3 || args[0] != "optimize" && len(args) < 4 {
		return fmt.Errorf("child: %d arguments", len(args))
	}
	s, err := image.OpenStore(args[1])
	if err != nil {
		return err
	}
	var o outcome
	if args[0] == "capture" {
		src, err := capture.OpenSource(args[4])
		if err != nil {
			return err
		}
		defer src.Close()
		r, err := capture.Capture(ctx, src, src.Size, src.SectorSize,
			capture.Options{Store: s, Name: args[2], Level: args[3]})
		if err != nil {
			return err
		}
		o.Stored, o.Object = r.Added, r.Object
		return json.NewEncoder(stdout).Encode(o)
	}
	if args[0] == "optimize" {
		r, err := optimize.Image(ctx, s, args[2], optimize.Options{Progress: tell(stderr)})
		if err != nil {
			return err
		}
		o.Stored, o.Object = r.After, r.After
		return json.NewEncoder(stdout).Encode(o)
	}
	im, err := s.Open(args[2])
	if err != nil {
		return err
	}
	defer im.Close()
	t, err := restore.OpenTarget(args[3], restore.TargetOptions{Size: im.Config().DiskSize})
	if err != nil {
		return err
	}
	defer t.Close()
	if args[0] == "check" {
		p, err := restore.NewPlan(im.Config(), im.Index(), t.Size(), t.SectorSize())
		if err != nil {
			return err
		}
		return p.Verify(ctx, t, nil)
	}
	st, err := restore.Local(ctx, im, t, restore.LocalOptions{Delta: args[0] == "delta"})
	if err != nil {
		return err
	}
	o.Written = st.Written
	return json.NewEncoder(stdout).Encode(o)
}
