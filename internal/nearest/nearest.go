// Package nearest finds the names that somebody may have meant who typed another one.
package nearest

import (
	"cmp"
	"slices"
	"strings"
)

// maxWord bounds the words that are compared, in runes; longer ones are like nothing.
const maxWord = 80

// Of returns the known words that are nearest to the word, the nearest first, at most so many. One is near that differs
// in so few letters as a slip of the hand makes (one in three, three at most), or that begins with the word.
func Of(word string, known []string, most int) []string {
	limit := min(3, max(1, len([]rune(word))/3))
	return Within(word, known, limit, most)
}

// Within is Of for words that differ in at most so many letters: one put in, left out, changed, or swapped with the
// next. Upper and lower case are the same.
func Within(word string, known []string, limit, most int) []string {
	type near struct {
		word string
		far  int
	}
	var found []near
	low := strings.ToLower(word)
	for _, k := range known {
		if k == word || slices.ContainsFunc(found, func(n near) bool { return n.word == k }) {
			continue
		}
		far := distance(low, strings.ToLower(k))
		if far > limit && len(low) >= 3 && strings.HasPrefix(strings.ToLower(k), low) {
			far = limit
		}
		if far <= limit {
			found = append(found, near{k, far})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.word, b.word))
	})
	var out []string
	for _, n := range found[:min(most, len(found))] {
		out = append(out, n.word)
	}
	return out
}

// Hint asks whether one of the known words was meant, as the end of a sentence: ": did you mean debian or debian12?".
// It is empty when none is near.
func Hint(word string, known []string) string {
	near := Of(word, known, 3)
	if len(near) == 0 {
		return ""
	}
	words := near[0]
	if n := len(near); n > 1 {
		words = strings.Join(near[:n-1], ", ") + " or " + near[n-1]
	}
	return ": did you mean " + words + "?"
}

// distance counts how many letters are to be put in, left out, changed or swapped with the next (optimal string
// alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > maxWord || len(y) > maxWord {
		return maxWord
	}
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
