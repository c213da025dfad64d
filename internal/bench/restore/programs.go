package main

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// limit bounds, generously, every program that is waited for.
const limit = 10 * time.Minute

// start runs a program in a namespace; an empty one is the bench's own.
func (b *suite) start(ns string, args ...string) (*bench.Child, error) {
	return b.startTo(nil, ns, args...)
}

// startTo gives the program's output to stdout and closes that in the end.
func (b *suite) startTo(stdout io.WriteCloser, ns string, args ...string) (*bench.Child, error) {
	return bench.Program{Args: args, Namespace: ns, Stdout: stdout}.Start(b.ctx)
}

func (b *suite) output(ns string, args ...string) (string, error) {
	return bench.Program{Args: args, Namespace: ns}.Output(b.ctx, limit)
}

// wire is how many bytes node 0 has sent.
func (b *suite) wire(l *netlab.Lab) (int64, error) {
	out, err := b.output(l.Node(0), "cat", "/sys/class/net/eth0/statistics/tx_bytes")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(out), 10, 64)
}
