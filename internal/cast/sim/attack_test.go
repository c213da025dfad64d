package sim

import (
	"strings"
	"testing"
)

// TestAttacks has somebody who has the key send to the group. Whoever is honest gets everything, by multicast where
// only numbers are attacked, in 1.2 times what it takes without at most, and the operator hears of it.
func TestAttacks(t *testing.T) {
	const size = 128 << 20
	quiet := map[int]int64{}
	for _, c := range []struct {
		attack Attack
		rate   float64
		// what the operator is told, "" if nothing was done that could be told from a network's own faults
		hostile string
		unicast bool // the only way out
	}{
		{None, 0, "", false},
		{Once, 0, "that the sender has not reached", false},
		{Far, 2000, "that the sender has not reached", false},
		{Near, 2000, "that the sender has not reached", false},
		{Next, 5000, "numbers", false},
		{Replays, 5000, "", false},
		{Epochs, 5000, "that the sender has not reached", false},
		{Unsigned, 1000, "the sender did not sign", false},
		{Wrong, 1000, "wrong bytes", true},
	} {
		t.Run(c.attack.String(), func(t *testing.T) {
			for seed := range 4 {
				n := 2 + seed%2*3
				res := Run(Config{
					Seed: uint64(seed), Until: 100 * Second, Uplink: gbit(512 << 10), Trace: trace(t),
					Casts: []Cast{{Size: size, Attack: c.attack, AttackRate: c.rate,
						Receivers: receivers(n, func(i int, r *Receiver) {
							r.Stream = true
							r.Loss.Share = 0.002 * float64(seed/2)
						})}},
				})[0]
				show(t, size, 1e9, res)
				if c.attack == None {
					quiet[seed] = res.Last
				}
				if res.Wrong > 0 {
					t.Fatalf("seed %d: %d receivers never had everything", seed, res.Wrong)
				}
				told := strings.Join(res.Events, "\n")
				if c.hostile != "" && !(strings.Contains(told, " hostile ") && strings.Contains(told, c.hostile)) {
					t.Errorf("seed %d: the operator was told %q, want a warning of %q", seed, told, c.hostile)
				}
				if c.unicast {
					continue
				}
				if res.Streamed > 0 || float64(res.Last) > 1.2*float64(quiet[seed]) {
					t.Errorf("seed %d: %d packets went by unicast, and it took %.3f of the time without", seed,
						res.Streamed, float64(res.Last)/float64(quiet[seed]))
				}
			}
		})
	}
}

// TestAttackEnds has attackers fall silent: multicast goes on, also where receivers had left the group for wrong bytes.
func TestAttackEnds(t *testing.T) {
	const size = 128 << 20
	for _, attack := range []Attack{Far, Near, Next, Wrong} {
		for seed := range draws() / 2 {
			rs := receivers(3, func(i int, r *Receiver) { r.Stream = true })
			res := Run(Config{
				Seed: seed, Until: 200 * Second, Uplink: Link{Rate: 1e8, Queue: 256 << 10, Delay: 50 * Microsecond},
				Trace: trace(t),
				Casts: []Cast{{Size: size, Attack: attack, AttackRate: 500, AttackFor: 2 * Second, Receivers: rs}},
			})[0]
			if share := float64(res.Streamed) / float64(3*res.Objects); res.Wrong > 0 || share > 0.5 {
				t.Errorf("%v, seed %d: %d receivers are not complete, and %.2f of what they got went by unicast",
					attack, seed, res.Wrong, share)
				show(t, size, 1e8, res)
			}
		}
	}
}

// TestAttackProperty draws half as many networks as TestProperty, and attacks: every receiver that lives ends with
// everything.
func TestAttackProperty(t *testing.T) {
	for seed := *first; seed < *first+(*seeds+1)/2; seed++ {
		attack := Attack(1 + seed%int(Wrong))
		if c, problem := scheduleWith(uint64(seed), attack); problem != "" {
			t.Errorf("seed %d, %v: %s\n%s", seed, attack, problem, c)
		}
	}
}
