package config

import (
	"fmt"
	"strings"
)

// suggestion names the key that was meant, where one is near.
func suggestion(name string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	best, least := "", len(name)
	for _, n := range Names() {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	// More than half of the word changed: another word.
	if best == "" || 2*least > max(len(best), len(name)) {
		return "`diskcast config example` lists the keys"
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// maxWord bounds the letters that are compared: no key is half as long.
const maxWord = 64

// distance is Levenshtein's: letters put in, taken out or changed between two words.
func distance(a, b string) int {
	a, b = a[:min(len(a), maxWord)], b[:min(len(b), maxWord)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
