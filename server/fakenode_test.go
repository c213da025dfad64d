package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/pin/tftp/v3"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/server/caster"
	"github.com/diskcast/diskcast/server/identity"
)

// writeDisk makes a raw disk whose first half is random, the same every time, and whose second half is zero.
func writeDisk(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{1}), size/2); err != nil {
		return err
	}
	return f.Truncate(size)
}

// fakeNode is a node from its PXE ROM to its last event, without a disk: it keeps the object in memory and compares it
// with what the server gives by HTTP. It says on stdout, line by line, how far it is.
//
//	fakenode -server URL -pin PIN [-boot N]
func fakeNode(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("fakenode", flag.ContinueOnError)
	server := f.String("server", "", "API")
	pin := f.String("pin", "", "pin")
	if err := f.Parse(args); err != nil {
		return err
	}
	pinned := &http.Transport{TLSClientConfig: identity.PinnedTLS(*pin)}
	n := &fake{server: *server, http: &http.Client{Transport: pinned}, boot: fmt.Sprint(time.Now().UnixNano())}
	script, err := n.netboot(ctx)
	if err != nil {
		return err
	}
	if strings.Contains(script, "sanboot") {
		fmt.Println("local disk")
		return nil
	}
	if err := n.hello(ctx); err != nil {
		return err
	}
	d, err := n.descriptor(ctx)
	if err != nil {
		return err
	}
	fmt.Println("descriptor", d.Session, d.Action)
	return n.receive(ctx, d)
}

type fake struct {
	server, boot string
	http         *http.Client
	reply        session.HelloReply
	mac          string
	seq          uint64
}

// netboot goes the firmware's way: DHCP, TFTP, DHCP as iPXE, script, kernel.
func (n *fake) netboot(ctx context.Context) (string, error) {
	c, err := nclient4.New(nettest.Client, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(10))
	if err != nil {
		return "", err
	}
	defer c.Close()
	n.mac = c.InterfaceAddr().String()
	pxe := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001")),
		dhcpv4.WithOption(dhcpv4.OptClientArch(iana.INTEL_X86PC))}
	lease, err := c.Request(ctx, pxe...)
	if err != nil {
		return "", fmt.Errorf("DHCP: %w", err)
	}
	ones, _ := lease.ACK.SubnetMask().Size()
	if err := nettest.AddAddr(nettest.Client, fmt.Sprintf("%v/%d", lease.ACK.YourIPAddr, ones)); err != nil &&
		!errors.Is(err, fs.ErrExist) {
		return "", err
	}
	fmt.Println("dhcp", lease.ACK.YourIPAddr, lease.ACK.BootFileName)
	tc, err := tftp.NewClient(net.JoinHostPort(lease.ACK.ServerIPAddr.String(), "69"))
	if err != nil {
		return "", err
	}
	rd, err := tc.Receive(lease.ACK.BootFileName, "octet")
	if err != nil {
		return "", fmt.Errorf("TFTP: %w", err)
	}
	if _, err := rd.WriteTo(io.Discard); err != nil {
		return "", fmt.Errorf("TFTP: %w", err)
	}
	lease, err = c.Request(ctx, append(pxe, dhcpv4.WithOption(dhcpv4.OptUserClass("iPXE")))...)
	if err != nil {
		return "", fmt.Errorf("DHCP as iPXE: %w", err)
	}
	script, err := n.get(ctx, lease.ACK.BootFileName)
	if err != nil || strings.Contains(script, "sanboot") {
		return script, err
	}
	base, _, _ := strings.Cut(lease.ACK.BootFileName, "boot.ipxe")
	for _, file := range []string{"vmlinuz", "initramfs.img"} {
		if _, err := n.get(ctx, base+file); err != nil {
			return "", err
		}
	}
	return script, nil
}

func (n *fake) get(ctx context.Context, url string) (string, error) {
	b, err := n.do(ctx, "GET", url, nil)
	return string(b), err
}

// do asks again until the server is there, as an agent does.
func (n *fake) do(ctx context.Context, method, url string, body any) ([]byte, error) {
	for {
		b, code, err := n.try(ctx, method, url, body)
		switch {
		case err == nil && code/100 == 2:
			return b, nil
		case err == nil && code < 500:
			return nil, fmt.Errorf("%s %s: %d %s", method, url, code, b)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *fake) try(ctx context.Context, method, url string, body any) ([]byte, int, error) {
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, 0, err
		}
		rd = strings.NewReader(string(b))
	}
	req, err := http.NewRequestWithContext(ctx, method, url, rd)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+n.reply.Token)
	resp, err := n.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return b, resp.StatusCode, err
}

func (n *fake) hello(ctx context.Context) error {
	h := session.Hello{V: 1, Boot: n.boot, Agent: "fake",
		Inventory: session.Inventory{Firmware: session.BIOS, Memory: 1 << 29,
			NICs:  []session.NIC{{Name: nettest.Client, MAC: n.mac, Boot: true, Up: true}},
			Disks: []session.Disk{{Path: "/dev/vda", Size: 1 << 34, SectorSize: 512}}}}
	b, err := n.do(ctx, "POST", n.server+"/v1/node/hello", h)
	if err != nil {
		return err
	}
	return session.Decode(strings.NewReader(string(b)), &n.reply)
}

func (n *fake) descriptor(ctx context.Context) (*session.Descriptor, error) {
	for {
		b, err := n.do(ctx, "GET", n.server+"/v1/node/"+n.reply.Node+"/descriptor?after=0&wait=5s", nil)
		if err != nil {
			return nil, err
		}
		if len(b) > 0 {
			var d session.Descriptor
			return &d, session.Decode(strings.NewReader(string(b)), &d)
		}
	}
}

func (n *fake) say(ctx context.Context, d *session.Descriptor, step string, p *session.Progress) error {
	n.seq++
	_, err := n.do(ctx, "POST", n.server+"/v1/node/"+n.reply.Node+"/events",
		session.Events{V: 1, Boot: n.boot, Events: []session.Event{
			{Seq: n.seq, Session: d.Session, Step: step, Level: session.Info, Since: float64(n.seq), Progress: p}}})
	if err == nil {
		fmt.Println("step", step)
	}
	return err
}

func (n *fake) receive(ctx context.Context, d *session.Descriptor) error {
	if _, err := n.do(ctx, "POST", n.server+"/v1/node/"+n.reply.Node+"/disk", session.DiskChoice{V: 1,
		Session: d.Session,
		Disk:    session.DiskID{Path: "/dev/vda", Size: 1 << 34}}); err != nil {
		return err
	}
	if err := n.say(ctx, d, session.StepPlan, nil); err != nil {
		return err
	}
	p, err := caster.Params(*d.Cast)
	if err != nil {
		return err
	}
	object := make([]byte, d.Image.ObjectSize)
	var mu sync.Mutex
	first := make(chan struct{})
	once := sync.OnceFunc(func() { close(first) })
	r, err := cast.NewReceiver(p, cast.SinkFunc(func(off int64, b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		copy(object[off:], b)
		once()
		return nil
	}), cast.ReceiverOptions{Interface: nettest.Client, Label: n.reply.Node})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	select {
	case <-first:
	case err := <-done:
		if err != nil {
			return fmt.Errorf("cast: %w", err)
		}
		done <- nil
	}
	if err := n.say(ctx, d, session.StepFirstByte, nil); err != nil {
		return err
	}
	if err := <-done; err != nil {
		return fmt.Errorf("cast: %w", err)
	}
	st := r.Stats()
	prog := &session.Progress{Received: d.Image.ObjectSize, Needed: d.Image.ObjectSize, Multicast: st.Multicast,
		Written: 1 << 20, ToWrite: 1 << 20}
	want, err := n.do(ctx, "GET", n.server+"/v1/objects/"+d.Image.Manifest, nil)
	if err != nil {
		return err
	}
	if string(want) != string(object) {
		return errors.New("the cast's object is not the one that HTTP gives")
	}
	for _, step := range []string{session.StepLastByte, session.StepWritten, session.StepGrown, session.StepEntry,
		session.StepBoot} {
		if err := n.say(ctx, d, step, prog); err != nil {
			return err
		}
	}
	return nil
}
