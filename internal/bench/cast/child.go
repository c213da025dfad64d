package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
)

// childFlags are what both ends of a measured cast are told.
type childFlags struct {
	n         int
	size      int64
	file      string
	receivers int
	seconds   float64
	profile   string
	rate      int64
	stagger   time.Duration
}

func (c *childFlags) parse(args []string) error {
	fs := flag.NewFlagSet("child", flag.ContinueOnError)
	fs.IntVar(&c.n, "casts", 1, "casts at once")
	fs.Int64Var(&c.size, "size", 0, "bytes")
	fs.StringVar(&c.file, "file", "", "source or target")
	fs.IntVar(&c.receivers, "receivers", 2, "receivers to wait for")
	fs.Float64Var(&c.seconds, "seconds", 0, "end after so long")
	fs.Int64Var(&c.rate, "rate", 0, "fixed pace")
	fs.StringVar(&c.profile, "profile", "", "write a CPU profile")
	fs.DurationVar(&c.stagger, "stagger", 0, "between the starts of casts")
	return fs.Parse(args)
}

func (c *childFlags) params(i int) cast.Params {
	p := cast.Params{
		ID:       uint32(100 + i),
		Group:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 77, 3, byte(i + 1)}), uint16(7000+i)),
		Feedback: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, 0, 1}), uint16(8000+i)),
		Size:     c.size,
	}
	for j := range p.Key {
		p.Key[j] = byte(i + j)
	}
	p.Sender, _ = cast.PublicOf(secret)
	return p.WithDefaults()
}

// secret is that of all senders of the bench.
var secret = cast.Secret{1}

func (c *childFlags) profiled() func() {
	if c.profile == "" {
		return func() {}
	}
	f, err := os.Create(c.profile)
	if err != nil {
		return func() {}
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		fmt.Fprintln(os.Stderr, "no profile:", err)
	}
	return func() { pprof.StopCPUProfile(); f.Close() }
}

// sendResult is what a sending child prints.
type sendResult struct {
	Payload, Wire, Repair int64
	Streamed              int64
	Seconds               float64 // from the first packet to the end
	Rates                 []float64
	Packets, Replies      int64
	Reports               int64
	Events                []string
}

func childSend(ctx context.Context, args []string, stdout io.Writer) error {
	var c childFlags
	if err := c.parse(args); err != nil {
		return err
	}
	defer c.profiled()()
	f, err := os.Open(c.file)
	if err != nil {
		return err
	}
	defer f.Close()
	var res sendResult
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make([]error, c.n)
	start := time.Now()
	for i := range c.n {
		s, err := cast.NewSender(c.params(i), f, cast.SenderOptions{
			Secret: secret, Interface: "eth0", UntilDone: true, MinReceivers: c.receivers, Rate: c.rate,
			MaxWait: 3 * time.Second,
			OnEvent: func(e cast.Event) {
				mu.Lock()
				defer mu.Unlock()
				res.Events = append(res.Events,
					fmt.Sprintf("%.3f %s %s %s", time.Since(start).Seconds(), e.Kind, e.Peer.Label, e.Why))
			},
		})
		if err != nil {
			return err
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			tick := make(chan struct{})
			go func() {
				t := time.NewTicker(50 * time.Millisecond)
				defer t.Stop()
				for {
					select {
					case <-tick:
						return
					case <-t.C:
						if c.n == 1 {
							mu.Lock()
							res.Rates = append(res.Rates, s.Stats().Rate/1e6)
							mu.Unlock()
						}
					}
				}
			}()
			ctx := ctx
			if c.seconds > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(c.seconds*float64(time.Second)))
				defer cancel()
			}
			errs[i] = s.Run(ctx)
			close(tick)
			st := s.Stats()
			mu.Lock()
			defer mu.Unlock()
			res.Payload += st.Payload
			res.Wire += st.Wire
			res.Repair += st.Repair
			res.Streamed += st.Streamed
			res.Packets += st.Packets
			res.Replies += st.Replies
			res.Reports += st.Reports
		}()
		if c.stagger > 0 {
			time.Sleep(c.stagger)
		}
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	res.Seconds = time.Since(start).Seconds()
	return json.NewEncoder(stdout).Encode(res)
}

// recvResult is what a receiving child prints, for each of its casts.
type recvResult struct {
	Received int64
	Seconds  float64 // from the first block to the last
	Start    time.Time
	First    time.Time
	End      time.Time
	Loss     float64
	Useless  int64
	Refused  int64
	Stream   int64
	State    []string
}

func childRecv(ctx context.Context, args []string, stdout io.Writer) error {
	var c childFlags
	if err := c.parse(args); err != nil {
		return err
	}
	defer c.profiled()()
	results := make([]recvResult, c.n)
	errs := make([]error, c.n)
	var wg sync.WaitGroup
	for i := range c.n {
		name := c.file
		if name != os.DevNull && c.n > 1 {
			name = fmt.Sprintf("%s.%d", c.file, i)
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		res := &results[i]
		var got atomic.Int64
		sink := cast.SinkFunc(func(off int64, p []byte) error {
			if got.Add(int64(len(p))) == int64(len(p)) {
				res.First = time.Now()
			}
			if name == os.DevNull {
				_, err := f.Write(p)
				return err
			}
			_, err := f.WriteAt(p, off)
			return err
		})
		var reread io.ReaderAt
		if name != os.DevNull {
			reread = f
		}
		host, _ := os.Hostname()
		r, err := cast.NewReceiver(c.params(i), sink, cast.ReceiverOptions{
			Interface: "eth0", Label: fmt.Sprint(host, os.Getpid()), Reread: reread, Stream: true,
			OnState: func(s cast.State) { res.State = append(res.State, fmt.Sprintf("%v %s", s.Phase, s.Why)) },
		})
		if err != nil {
			return err
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			res.Start = time.Now()
			ctx := ctx
			if c.seconds > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(c.seconds*float64(time.Second)))
				defer cancel()
			}
			errs[i] = r.Run(ctx)
			res.End = time.Now()
			res.Received = got.Load()
			res.Seconds = res.End.Sub(res.First).Seconds()
			st := r.Stats()
			res.Loss, res.Useless, res.Refused, res.Stream = st.Loss, st.Useless, st.Evicted, st.Stream
			if c.seconds > 0 {
				errs[i] = nil
			}
		}()
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return json.NewEncoder(stdout).Encode(results)
}
