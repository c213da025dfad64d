package screen

import "strings"

// font is three dots wide and five high, a row a digit: the dots' bits, 4 the leftmost.
var font = map[rune]string{
	'0': "75557", '1': "26227", '2': "71747", '3': "71717", '4': "55711", '5': "74717", '6': "74757", '7': "71122",
	'8': "75757", '9': "75717", 'A': "25755", 'B': "65656", 'C': "34443", 'D': "65556", 'E': "74647", 'F': "74644",
	'G': "34553", 'H': "55755", 'I': "72227", 'J': "11152", 'K': "55655", 'L': "44447", 'M': "57755", 'N': "65555",
	'O': "25552", 'P': "65644", 'Q': "25563", 'R': "65655", 'S': "34216", 'T': "72222", 'U': "55557", 'V': "55552",
	'W': "55775", 'X': "55255", 'Y': "55222", 'Z': "71247", '-': "00700", '.': "00002", '_': "00007", '%': "51245",
	' ': "00000",
}

// Sizes of a large sign: each dot is two columns wide, for a terminal's are half as wide as they are high.
const (
	signHigh = 5
	signWide = 2*3 + 2 // with the gap behind it
)

// fits reports whether s can be written with large signs in so many columns.
func fits(s string, columns int) bool {
	if len([]rune(s))*signWide-2 > columns {
		return false
	}
	for _, c := range strings.ToUpper(s) {
		if _, ok := font[c]; !ok {
			return false
		}
	}
	return s != ""
}

// large writes s in rows; # is where a sign is.
func large(s string) [signHigh]string {
	var rows [signHigh]string
	for _, c := range strings.ToUpper(s) {
		for y := range rows {
			dots := font[c][y] - '0'
			for x := range 3 {
				cell := "  "
				if dots>>(2-x)&1 == 1 {
					cell = "##"
				}
				rows[y] += cell
			}
			rows[y] += "  "
		}
	}
	return rows
}
