package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/plain"
)

// printJSON prints one document on one line.
func (e *env) printJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = io.WriteString(e.out, escaped(string(b))+"\n")
	return err
}

// escaped writes what cannot be printed, in the strings of a JSON document, as JSON's escapes.
func escaped(doc string) string {
	var b strings.Builder
	for _, r := range doc {
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// table prints rows in columns.
func table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, c := range r {
			cells[i] = plain.Line(c, 0)
		}
		if _, err := fmt.Fprintln(tw, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// bytesWords says a size for people: 1.5 GiB.
func bytesWords(n int64) string {
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

// rateWords says how fast n bytes came: 93.4 MB/s.
func rateWords(n int64, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MB/s", float64(n)/1e6/d.Seconds())
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return time.Since(t).Round(time.Second).String() + " ago"
}

// parseRate reads bits a second: 900M, 1.5G, 250k or a bare number.
func parseRate(s string) (int64, error) { return parseUnits(s, "rate", 1000) }

// parseSize reads bytes: 500G, 2TiB, 512M (powers of 1024, as disks are partitioned) or a bare number.
func parseSize(s string) (int64, error) {
	return parseUnits(strings.TrimSuffix(strings.TrimSuffix(s, "B"), "i"), "size", 1024)
}

func parseUnits(s, what string, base float64) (int64, error) {
	if s == "" {
		return 0, nil
	}
	mult, num := 1.0, s
	if i := strings.IndexByte("kmgtp", s[len(s)-1]|0x20); i >= 0 {
		num = s[:len(s)-1]
		for range i + 1 {
			mult *= base
		}
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || !(f > 0) || f*mult >= 1<<62 {
		return 0, usage("%s %q is not a number such as 500M or 1.5G", what, s)
	}
	return int64(f * mult), nil
}
