package pairs_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/diskcast/diskcast/qemu-tests/pairs"
)

// TestCover holds the rows of random factors, with random combinations that cannot be, to what they are for.
func TestCover(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var factors []pairs.Factor
		for i := range 1 + rng.IntN(4) {
			f := pairs.Factor{Name: fmt.Sprint("f", i)}
			for v := range 1 + rng.IntN(5) {
				f.Values = append(f.Values, fmt.Sprintf("%d.%d", i, v))
			}
			factors = append(factors, f)
		}
		forbidden := map[string]bool{}
		for range rng.IntN(6) {
			forbidden[key(anyOf(rng, factors))] = true
		}
		can := func(r pairs.Row) bool { return !forbidden[key(r)] }
		rows := pairs.Cover(factors, can)
		if again := pairs.Cover(factors, can); !reflect.DeepEqual(rows, again) {
			t.Fatalf("seed %d: two answers: %v and %v", seed, rows, again)
		}
		met, whole := map[string]bool{}, map[string]bool{}
		for _, r := range rows {
			if !can(r) {
				t.Errorf("seed %d: the row %v cannot be", seed, r)
			}
			if whole[key(r)] {
				t.Errorf("seed %d: the row %v is there twice", seed, r)
			}
			whole[key(r)] = true
			meet(met, r)
		}
		possible := map[string]bool{}
		product(factors, nil, func(r pairs.Row) {
			if can(r) {
				meet(possible, r)
			}
		})
		if !reflect.DeepEqual(met, possible) {
			t.Errorf("seed %d: %d pairs met, of %d that can", seed, len(met), len(possible))
		}
	}
}

// TestCoverIsSmall shows what the choice is for: three factors of 8, 8 and 6 values have 384 combinations.
func TestCoverIsSmall(t *testing.T) {
	var factors []pairs.Factor
	for i, n := range []int{8, 8, 6} {
		f := pairs.Factor{}
		for v := range n {
			f.Values = append(f.Values, fmt.Sprintf("%d.%d", i, v))
		}
		factors = append(factors, f)
	}
	if n := len(pairs.Cover(factors, nil)); n < 64 || n > 72 {
		t.Errorf("%d rows; 64 are the least that can be, and 72 the most that may", n)
	}
}

func anyOf(rng *rand.Rand, factors []pairs.Factor) pairs.Row {
	var r pairs.Row
	for _, f := range factors {
		r = append(r, f.Values[rng.IntN(len(f.Values))])
	}
	return r
}

func meet(met map[string]bool, r pairs.Row) {
	for i := range r {
		for j := i + 1; j < len(r); j++ {
			met[key(pairs.Row{r[i], r[j]})] = true
		}
	}
}

func product(factors []pairs.Factor, r pairs.Row, f func(pairs.Row)) {
	if len(r) == len(factors) {
		f(r)
		return
	}
	for _, v := range factors[len(r)].Values {
		product(factors, append(r[:len(r):len(r)], v), f)
	}
}

func key(r pairs.Row) string { return fmt.Sprint([]string(r)) }
