package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/cmd"
)

// TestMain makes the test binary stand in for two programs: diskcast itself, and a node that is made of software.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"diskcast": main,
		"capturenode": func() {
			if err := captureNode(context.Background(), os.Args[1:]); err != nil {
				fmt.Fprintf(os.Stderr, "capturenode: %v\n", err)
				os.Exit(1)
			}
		},
		"fakenode": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := fakeNode(ctx, os.Args[1:]); err != nil {
				fmt.Fprintf(os.Stderr, "fakenode: %v\n", err)
				os.Exit(1)
			}
		},
	})
}

// TestScripts runs what was typed and what it said: testdata/script.
func TestScripts(t *testing.T) {
	for _, judge := range []string{"qemu-img", "skopeo", "partclone.restore"} {
		if _, err := exec.LookPath(judge); err != nil && need.CI() {
			t.Errorf("%s is missing (.ci/packages test installs it): the scripts' judgement by it is left out", judge)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DISKCAST_STATE", e.WorkDir+"/state")
			v1, err := filepath.Abs("../internal/image/restore/testdata/v1")
			e.Setenv("V1", v1)
			return errors.Join(err, os.Mkdir(e.WorkDir+"/state", 0o700))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"rawdisk":  rawDisk,
			"textdisk": textDisk,
			"flip":     flip,
			"perm":     perm,
			"scribble": scribble,
		},
	})
}

// exits CODE ARGS... runs diskcast, expects the exit code, and keeps its stderr as the file stderr.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits code args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("diskcast", args[1:]...)
	got := 0
	if err != nil {
		got = 1
		var code interface{ ExitCode() int }
		if errors.As(err, &code) {
			got = code.ExitCode()
		}
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d: %v", got, want, err)
	}
}

// rawDisk FILE MIB makes a raw disk: text that compresses, then zeros, in a pattern that is the same every time.
func rawDisk(ts *testscript.TestScript, neg bool, args []string) {
	mib, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(writeDisk(ts.MkAbs(args[0]), int64(mib)<<20))
}

// textDisk FILE MIB makes a raw disk that compresses the better the more is done for it.
func textDisk(ts *testscript.TestScript, neg bool, args []string) {
	mib, err := strconv.Atoi(args[1])
	ts.Check(err)
	r, words := rand.New(rand.NewPCG(uint64(mib), 1)), make([]string, 3000)
	for i := range words {
		words[i] = strconv.FormatUint(r.Uint64N(1<<(8+uint(i%40))), 36)
	}
	var b bytes.Buffer
	for b.Len() < mib<<20 {
		// Some words are common, most are not.
		n := 1 + r.IntN(len(words))
		b.WriteString(words[r.IntN(n)])
		b.WriteByte(' ')
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes()[:mib<<20], 0o644))
}

// flip FILE flips a bit in the middle of a file.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.Chmod(path, 0o600))
	ts.Check(os.WriteFile(path, b, 0o600))
}

// scribble FILE MIB SEED overwrites 64 KiB of the file, at so many MiB.
func scribble(ts *testscript.TestScript, neg bool, args []string) {
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	seed, err := strconv.Atoi(args[2])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	p := make([]byte, 64<<10)
	_, err = rand.NewChaCha8([32]byte{9, byte(seed)}).Read(p)
	ts.Check(err)
	_, err = f.WriteAt(p, int64(at)<<20)
	ts.Check(err)
}

// perm MODE FILE expects the file's permissions.
func perm(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

func TestRunReturnsErrors(t *testing.T) {
	if err := run(t.Context(), []string{"fly"}, nil, os.Stdout, os.Stderr); err == nil || cmd.ExitCode(err) != 2 {
		t.Errorf("unknown command: %v, code %d", err, cmd.ExitCode(err))
	}
}
