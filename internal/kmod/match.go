package kmod

// Match says whether a name matches a pattern in the manner of fnmatch(3) without flags, which is how kmod matches
// aliases:
// * any run, ? any byte, [a-c] and [!a-c] a byte of a set. A set that does not end matches its own text.
func Match(pattern, name string) bool {
	// The last * seen, and how much of the name it has taken: the only place to come back to.
	star, taken := -1, 0
	p, n := 0, 0
	for n < len(name) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, taken = p, n
				p++
				continue
			}
			if width, ok := matchOne(pattern[p:], name[n]); ok {
				p += width
				n++
				continue
			}
		}
		if star < 0 {
			return false
		}
		taken++
		p, n = star+1, taken
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one byte with the first element of a pattern and says how long that element is.
func matchOne(pattern string, c byte) (width int, ok bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		if width, in, ok := matchSet(pattern, c); ok {
			return width, in
		}
	}
	return 1, pattern[0] == c
}

func matchSet(pattern string, c byte) (width int, in, ok bool) {
	i := 1
	negate := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negate {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, in != negate, true
		}
		lo, hi := pattern[i], pattern[i]
		i++
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			hi = pattern[i+1]
			i += 2
		}
		in = in || lo <= c && c <= hi
	}
	return 0, false, false
}
