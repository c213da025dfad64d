package nettest

import (
	"net"
	"sync"
	"testing"
)

// Many networks at once keep the kernel's worker busy, which is when the carrier comes late.
func TestTheCableIsIn(t *testing.T) {
	var all sync.WaitGroup
	for range 24 {
		all.Go(func() {
			n := New(t)
			running := func(name string) {
				ifi, err := net.InterfaceByName(name)
				if err != nil || ifi.Flags&net.FlagRunning == 0 {
					t.Errorf("%s: %v (%v), want it running", name, ifi, err)
				}
			}
			n.Do(func() { running(Server) })
			n.DoClient(func() { running(Client) })
		})
	}
	all.Wait()
}
