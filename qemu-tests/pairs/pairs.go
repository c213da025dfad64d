// Package pairs chooses, of all combinations of several properties, a few in which each two values meet: most faults
// that come of a combination come of two of its values, and a table of all would take days.
package pairs

// Factor is a property with the values that it can have.
type Factor struct {
	Name   string
	Values []string
}

// Row has a value of each factor, in their order.
type Row []string

// pair is two values by their factors' and their own numbers.
type pair struct{ f1, v1, f2, v2 int }

// Cover returns rows in which each two values of two factors meet that meet in any row that can be; can may be nil. A
// row is taken when no other would bring more new pairs, the first in the order of the values before others, so that
// the same factors always give the same rows.
func Cover(factors []Factor, can func(Row) bool) []Row {
	var all [][]int
	every(factors, make([]int, len(factors)), 0, func(row []int) {
		if can == nil || can(values(factors, row)) {
			all = append(all, append([]int(nil), row...))
		}
	})
	open := map[pair]bool{}
	for _, row := range all {
		for _, p := range pairsOf(row) {
			open[p] = true
		}
	}
	var rows []Row
	for len(open) > 0 {
		best, most := -1, 0
		for i, row := range all {
			n := 0
			for _, p := range pairsOf(row) {
				if open[p] {
					n++
				}
			}
			if n > most {
				best, most = i, n
			}
		}
		for _, p := range pairsOf(all[best]) {
			delete(open, p)
		}
		rows = append(rows, values(factors, all[best]))
	}
	return rows
}

// every calls f with the numbers of each combination, from factor at on.
func every(factors []Factor, row []int, at int, f func([]int)) {
	if at == len(factors) {
		f(row)
		return
	}
	for v := range factors[at].Values {
		row[at] = v
		every(factors, row, at+1, f)
	}
}

func pairsOf(row []int) []pair {
	list := make([]pair, 0, len(row)*(len(row)-1)/2)
	for i := range row {
		for j := i + 1; j < len(row); j++ {
			list = append(list, pair{i, row[i], j, row[j]})
		}
	}
	return list
}

func values(factors []Factor, row []int) Row {
	r := make(Row, len(row))
	for i, v := range row {
		r[i] = factors[i].Values[v]
	}
	return r
}
