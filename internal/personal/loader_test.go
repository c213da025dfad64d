package personal

import "testing"

// TestTakePassphrase: a document with a passphrase alone has nothing to be written.
func TestTakePassphrase(t *testing.T) {
	for _, tt := range []struct {
		things Settings
		want   string
		more   bool
	}{
		{Settings{LoaderPassphrase: "a {{b"}, "a {{b", false},
		{Settings{LoaderPassphrase: "a", Hostname: "pc"}, "a", true},
		{Settings{Hostname: "pc"}, "", true},
	} {
		d, err := tt.things.Resolve(Values{Node: "n", Session: "s"})
		if err != nil {
			t.Fatal(err)
		}
		got, more := d.TakePassphrase()
		if got != tt.want || more != tt.more || d.Things.LoaderPassphrase != "" {
			t.Errorf("%+v: %q, %v", tt.things, got, more)
		}
	}
	shown := (&Settings{LoaderPassphrase: "a"}).Shown()
	if shown.LoaderPassphrase != Sealed {
		t.Errorf("everybody sees %q", shown.LoaderPassphrase)
	}
	if shown.Reveal(&Settings{LoaderPassphrase: "a"}); shown.LoaderPassphrase != "a" {
		t.Errorf("who changes what he was shown has %q", shown.LoaderPassphrase)
	}
}
