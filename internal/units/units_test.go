package units

import (
	"slices"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for in, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 29: "1.5 GiB",
		1 << 62: "4096.0 PiB"} {
		if got := Bytes(in); got != want {
			t.Errorf("%d: %s, want %s", in, got, want)
		}
	}
	got := []string{Speed(100e6, 2*time.Second), Speed(1, 0), Percent(1, 3), Percent(1, 0)}
	if want := []string{"50.0 MB/s", "-", "33 %", "-"}; !slices.Equal(got, want) {
		t.Errorf("speed and percent: %q, want %q", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name  string
		parse func(string) (int64, error)
		good  map[string]int64
		bad   []string
	}{
		{"rate", ParseRate,
			map[string]int64{"": 0, "0": 0, "900M": 900e6, "1.5G": 1.5e9, "250k": 250e3, "250K": 250e3, "12345": 12345,
				"900Mbit/s": 900e6, "2Gbit": 2e9},
			[]string{"x", "-1", "M", "1e40", "NaN", "1GB/s", "1G/s", "bit", "Mbit/s", " 1M"}},
		{"size", ParseSize,
			map[string]int64{"": 0, "512": 512, "1.5GiB": 3 << 29, "2T": 2 << 40, "64K": 64 << 10, "1MB": 1 << 20},
			[]string{"x", "-1", "0", "B", "iB", "M", "NaN", "Inf", "9E"}},
	} {
		for in, want := range c.good {
			if got, err := c.parse(in); err != nil || got != want {
				t.Errorf("%s %q: %d, %v; want %d", c.name, in, got, err, want)
			}
		}
		for _, in := range c.bad {
			if got, err := c.parse(in); err == nil {
				t.Errorf("%s %q: %d", c.name, in, got)
			}
		}
	}
}

func TestRate(t *testing.T) {
	for in, want := range map[string]string{"2000M": "2G", "900M": "900M", "1.5M": "1500000", "0": "0"} {
		var r Rate
		if err := r.Set(in); err != nil || r.String() != want {
			t.Errorf("%q: %s, %v; want %s", in, r.String(), err, want)
		}
	}
	for _, in := range []string{"", "-1", "fast"} {
		if err := new(Rate).Set(in); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1.5G")
	f.Add("900Mbit/s")
	f.Add("2TiB")
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (int64, error){ParseRate, ParseSize} {
			if n, err := parse(s); err == nil && n < 0 {
				t.Errorf("%q: %d", s, n)
			}
		}
	})
}
