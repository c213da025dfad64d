package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

func TestCompare(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), 40_000) // more than two buffers
	changed := bytes.Clone(long)
	changed[300_000]++
	for _, c := range []struct {
		name string
		a, b []byte
		same bool
	}{
		{"nothing", nil, nil, true},
		{"the same", long, long, true},
		{"whole buffers", long[:512<<10], long[:512<<10], true},
		{"one byte", long, changed, false},
		{"the second is longer", long[:512<<10], long, false},
		{"the second is shorter", long, long[:512<<10], false},
		{"the second is empty", long, nil, false},
	} {
		n, err := compare(bytes.NewReader(c.a), bytes.NewReader(c.b))
		if (err == nil) != c.same || c.same && n != int64(len(c.a)) {
			t.Errorf("%s: %d bytes, %v", c.name, n, err)
		}
	}
}

// What a process has started is counted with it.
func TestResident(t *testing.T) {
	alone := resident(os.Getpid())
	if alone < 1<<20 {
		t.Fatalf("this process has %d bytes", alone)
	}
	sh := exec.Command("sh", "-c", "cat; :") // two processes, which wait
	in, err := sh.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := sh.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = sh.Wait() }()
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	shell := resident(sh.Process.Pid)
	if all := resident(os.Getpid()); shell == 0 || all < shell+1<<20 {
		t.Errorf("%d bytes with a shell of %d, %d without", all, shell, alone)
	}
	if resident(1<<30) != 0 {
		t.Error("a process that is not there has memory")
	}
}
