package core

import (
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// PeerState is what the sender does with a receiver.
type PeerState uint8

// States of a peer.
const (
	PeerActive  PeerState = iota // in the group
	PeerSlow                     // in the group, but no longer waited for: it held the others back
	PeerUnicast                  // told to leave the group
	PeerSilent                   // hears no multicast
	PeerDone                     // has everything
	PeerGone                     // left, or not heard for long
)

func (s PeerState) String() string {
	return [...]string{"active", "slow", "unicast", "silent", "done", "gone"}[s]
}

// Peer is a receiver as the sender knows it.
type Peer struct {
	ID       uint64
	Label    string
	Addr     netip.AddrPort
	State    PeerState
	Why      string
	Need     uint32  // packets it lacks
	Loss     float64 // of the group's packets, lately
	Pressure uint8
	Rate     float64 // bits a second on the wire that reached it in its latest window
	Heard    int64
	Joined   int64
	// What it says of somebody else who sends with the cast's key, and the address that came from.
	Strange [wire.KindsOfStrange]uint32
	From    netip.Addr

	window    *wire.Window
	flags     uint8
	baseline  float64 // loss that does not depend on the pace
	credit    float64 // packets it may still ask for
	broke     bool    // credit ran out
	creditAt  uint64  // sequence number up to which losses were credited
	avg       float64 // Rate, smoothed
	learned   int     // windows that baseline was learned from
	slowAt    int64   // when it became slow
	goodAt    int64   // when it last kept up, while slow
	limit     float64 // pace that it was last seen to stand
	limitAt   int64
	delay     int64 // latest one-way delay and report's way back
	queued    queueing
	fullSince int64   // since when the queue before it is full
	overSince int64   // since when its delay is above standing
	overs     int     // reports since
	drains    float64 // most that reached it since then
	lastDelay int64   // at the latest cut for it
	pressedAt uint8   // pressure when the pace was last cut for it, or what it has fallen to since
	win       window
	roundSeq  uint64 // the round of startup that it was last heard in
	// A peer that was strained was short of memory; taken is where it stood when that was first seen.
	strainedAt, takenAt int64
	takenNeed           uint32
	test                lossTest
	replyAt             int64
	back                bool // told to come back to the group
	stream              streamState
	misled              bool   // its latest report counts numbers that were never sent
	misleads            uint32 // how often that was so
	told                uint32 // strange packets when the user was told
	own                 bool   // it left the group by its own decision
}

// waited says whether the group waits for this peer: its needs are sent and its losses slow the pace.
func (p *Peer) waited() bool { return p.State == PeerActive }

// present says whether the peer is alive and not done.
func (p *Peer) present() bool { return p.State != PeerDone && p.State != PeerGone }
