package netboot

import "testing"

// TestDecide has all that can be.
func TestDecide(t *testing.T) {
	const yes = true
	for _, c := range []struct {
		name string
		f    Facts
		want What
	}{
		{"nothing is known", Facts{}, Agent},
		{"it has what a session gave it", Facts{Imaged: yes}, OwnDisk},
		{"another session wants it", Facts{Wanted: yes}, Agent},
		{"another session wants it, and it has an image", Facts{Wanted: yes, Imaged: yes}, Agent},
		{"it works", Facts{Works: yes}, Agent},
		{"it works, and has an older image", Facts{Works: yes, Imaged: yes}, Agent},
		{"it works, and the next session waits", Facts{Works: yes, Wanted: yes}, Agent},
		{"it works, the next session waits, and it has an older image", Facts{Works: yes, Wanted: yes, Imaged: yes},
			Agent},
		{"it says that it is done", Facts{Works: yes, Claims: yes}, OwnDisk},
		{"it says that it is done, and had an image", Facts{Works: yes, Claims: yes, Imaged: yes}, OwnDisk},
		{"it says that it is done, and the next session waits", Facts{Works: yes, Claims: yes, Wanted: yes}, OwnDisk},
		{"it says that it is done, had an image, and the next session waits",
			Facts{Works: yes, Claims: yes, Wanted: yes, Imaged: yes}, OwnDisk},
		{"a claim on no work", Facts{Claims: yes}, Agent},
		{"a claim on no work, and an image", Facts{Claims: yes, Imaged: yes}, OwnDisk},
		{"a claim on no work, and a session that waits", Facts{Claims: yes, Wanted: yes}, Agent},
		{"a claim on no work, an image, and a session that waits", Facts{Claims: yes, Wanted: yes, Imaged: yes}, Agent},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Decide(c.f); got != c.want {
				t.Errorf("%+v boots %s, want %s", c.f, got, c.want)
			}
		})
	}
	for _, c := range []struct {
		name string
		idle Idle
		f    Facts
		want What
	}{
		{"wait, imaged", IdleWait, Facts{Imaged: yes}, Agent},
		{"own disk, half-written", IdleOwnDisk, Facts{Spoiled: yes}, Agent},
		{"menu, half-written", IdleMenu, Facts{Spoiled: yes}, Agent},
		{"never, half-written", IdleNever, Facts{Spoiled: yes}, Agent},
		{"never, half-written, a session wants it", IdleNever, Facts{Spoiled: yes, Wanted: yes}, Agent},
		{"never, half-written, own disk was chosen", IdleNever, Facts{Spoiled: yes, Chosen: OwnDisk}, Agent},
		{"own disk, nothing known", IdleOwnDisk, Facts{}, OwnDisk},
		{"own disk, a session wants it", IdleOwnDisk, Facts{Wanted: yes}, Agent},
		{"menu", IdleMenu, Facts{}, Menu},
		{"menu, imaged", IdleMenu, Facts{Imaged: yes}, Menu},
		{"menu, a session wants it", IdleMenu, Facts{Wanted: yes}, Agent},
		{"menu, it works", IdleMenu, Facts{Works: yes}, Agent},
		{"menu, it says that it is done", IdleMenu, Facts{Works: yes, Claims: yes}, OwnDisk},
		{"never", IdleNever, Facts{}, Nothing},
		{"never, imaged", IdleNever, Facts{Imaged: yes}, Nothing},
		{"never, a session wants it", IdleNever, Facts{Wanted: yes}, Nothing},
		{"never, its disk is half-written", IdleNever, Facts{Works: yes, Wanted: yes}, Agent},
		{"never, it says that it is done", IdleNever, Facts{Works: yes, Claims: yes}, OwnDisk},
		{"own disk was chosen", IdleWait, Facts{Chosen: OwnDisk}, OwnDisk},
		{"own disk was chosen, menu", IdleMenu, Facts{Chosen: OwnDisk}, OwnDisk},
		{"own disk was chosen, half-written", IdleMenu, Facts{Chosen: OwnDisk, Spoiled: yes}, Agent},
		{"own disk was chosen, a session wants it", IdleMenu, Facts{Chosen: OwnDisk, Wanted: yes}, Agent},
		{"own disk was chosen, it works", IdleMenu, Facts{Chosen: OwnDisk, Works: yes}, Agent},
		{"own disk was chosen, never", IdleNever, Facts{Chosen: OwnDisk}, Nothing},
		{"a memory test was chosen", IdleMenu, Facts{Chosen: Memtest}, Memtest},
		{"a memory test was chosen, half-written", IdleWait, Facts{Chosen: Memtest, Spoiled: yes}, Memtest},
		{"a memory test was chosen, a session wants it", IdleWait, Facts{Chosen: Memtest, Wanted: yes}, Agent},
		{"a word that nobody knows", "sometimes", Facts{Imaged: yes}, OwnDisk},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.f.Idle = c.idle
			if got := Decide(c.f); got != c.want {
				t.Errorf("%+v boots %s, want %s", c.f, got, c.want)
			}
		})
	}
	if got := Decider(nil).Of("52:54:00:00:00:01"); got != Agent {
		t.Errorf("without a decider: %s", got)
	}
}
