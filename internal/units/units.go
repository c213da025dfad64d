// Package units says and reads sizes and rates, the same way everywhere: sizes of bytes in powers of 1024, rates of
// data in powers of 1000.
package units

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bytes says a size for people: 1.5 GiB.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 1024 && unit < 5 {
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", f, " KMGTP"[unit])
}

// Speed says how fast n bytes came: 93.4 MB/s.
func Speed(n int64, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return BytesPerSecond(float64(n) / d.Seconds())
}

// BytesPerSecond says a speed: 93.4 MB/s.
func BytesPerSecond(f float64) string { return fmt.Sprintf("%.1f MB/s", f/1e6) }

// Percent says which part of a whole n is, in whole percent.
func Percent(n, of int64) string {
	if of <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(n)/float64(of))
}

// ParseRate reads bits a second: 900M, 1.5G, 250k, also with bit or bit/s behind, or a bare number. Nothing is 0.
func ParseRate(s string) (int64, error) {
	num := strings.TrimSuffix(strings.TrimSuffix(s, "/s"), "bit")
	if strings.HasSuffix(s, "/s") && !strings.HasSuffix(s, "bit/s") { // bytes a second are something else
		num = s
	}
	return parse(s, num, "rate", 1000, true)
}

// ParseSize reads bytes: 500G, 2TiB, 512M (powers of 1024, as disks are partitioned) or a bare number. Nothing is 0.
func ParseSize(s string) (int64, error) {
	return parse(s, strings.TrimSuffix(strings.TrimSuffix(s, "B"), "i"), "size", 1024, false)
}

func parse(s, num, what string, base float64, zero bool) (int64, error) {
	if s == "" {
		return 0, nil
	}
	mult := 1.0
	if num != "" {
		if i := strings.IndexByte("kmgtp", num[len(num)-1]|0x20); i >= 0 {
			num = num[:len(num)-1]
			for range i + 1 {
				mult *= base
			}
		}
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || !(f > 0 || zero && f == 0) || f*mult >= 1<<62 {
		return 0, fmt.Errorf("%s %q is not a number such as 500M or 1.5G", what, s)
	}
	return int64(f * mult), nil
}

// Rate is a flag for bits a second, as ParseRate reads them.
type Rate int64

// String implements pflag.Value.
func (r *Rate) String() string {
	switch v := int64(*r); {
	case v == 0:
		return "0"
	case v%1e9 == 0:
		return fmt.Sprintf("%dG", v/1e9)
	case v%1e6 == 0:
		return fmt.Sprintf("%dM", v/1e6)
	default:
		return fmt.Sprint(v)
	}
}

// Type implements pflag.Value.
func (r *Rate) Type() string { return "bits/s" }

// Set implements pflag.Value.
func (r *Rate) Set(s string) error {
	v, err := ParseRate(s)
	if err == nil && s == "" {
		err = errors.New("it is empty: write 900M or 2.5G, in bits a second, or leave the flag out")
	}
	*r = Rate(v)
	return err
}
