package image

import (
	"math/rand/v2"
	"regexp"
	"testing"
)

// TestIsName compares with the expression of the OCI image specification, on random names.
func TestIsName(t *testing.T) {
	re := regexp.MustCompile(`^[A-Za-z0-9]+([-._:@/+][A-Za-z0-9]+|--[A-Za-z0-9]+)*$`)
	const letters = "--aZ09-._:@/+ \n\u00e9["
	rnd := rand.New(rand.NewPCG(1, 1))
	names := 0
	for range 200000 {
		b := make([]byte, rnd.IntN(7))
		for i := range b {
			b[i] = letters[rnd.IntN(len(letters))]
		}
		want := re.MatchString(string(b))
		if got := isName(string(b)); got != want {
			t.Fatalf("%q: %v, want %v", b, got, want)
		}
		if want {
			names++
		}
	}
	if names < 1000 {
		t.Errorf("only %d of them were names", names)
	}
}
