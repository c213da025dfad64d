package grub

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// errWide is the error of a number that GRUBs differ in: those for a BIOS have 32 bits, others 64, of which they cut
// some off again.
var errWide = errors.New("is a number of more than 31 bits, in which GRUBs differ")

// leadingNumber reads a number as GRUB does: blanks in front, 0x for hexadecimal, 0 before a digit up to 7 for octal,
// and whatever after.
func leadingNumber(v string) (n int64, rest string, err error) {
	v = strings.TrimLeft(v, blanks)
	switch {
	case strings.HasPrefix(v, "0x"):
		return numberOf(v[2:], 16)
	case len(v) > 1 && v[0] == '0' && v[1] >= '0' && v[1] <= '7':
		return numberOf(v, 8)
	}
	return numberOf(v, 10)
}

// blanks are what GRUB passes over in front of a number.
const blanks = " \t\n\r"

// numberOf reads the digits of a base, and whatever after.
func numberOf(digits string, base int) (n int64, rest string, err error) {
	end := 0
	for end < len(digits) {
		if _, err := strconv.ParseUint(digits[end:end+1], base, 8); err != nil {
			break
		}
		end++
	}
	n, err = strconv.ParseInt(digits[:end], base, 64)
	if errors.Is(err, strconv.ErrRange) || n > math.MaxInt32 {
		return 0, digits[end:], errWide
	}
	return n, digits[end:], err
}

// decimal reads a number that is digits only.
func decimal(v string) (int, error) {
	if strings.Trim(v, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.Atoi(v)
}

// integer reads a number with a sign; what is none counts as 0.
func integer(v string) (int64, error) {
	digits, negative := strings.CutPrefix(v, "-")
	n, err := unsigned(digits)
	if negative {
		n = -n
	}
	return n, err
}

// unsigned reads a number without one.
func unsigned(v string) (int64, error) {
	n, _, err := leadingNumber(v)
	if err != nil && !errors.Is(err, errWide) {
		return 0, nil
	}
	return n, err
}
