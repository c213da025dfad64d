package personalize

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// user is a line of passwd(5).
type user struct {
	uid, gid int
	home     string
}

// user finds a user of the restored system; none is made.
func (t *tree) user(name string) (*user, error) {
	b, err := t.read("/etc/passwd")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		w := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(w) != 7 || w[0] != name {
			continue
		}
		uid, err := strconv.ParseUint(w[2], 10, 31)
		if err != nil {
			return nil, fmt.Errorf("/etc/passwd: the uid of %s is %q", name, w[2])
		}
		gid, err := strconv.ParseUint(w[3], 10, 31)
		if err != nil {
			return nil, fmt.Errorf("/etc/passwd: the gid of %s is %q", name, w[3])
		}
		if !path.IsAbs(w[5]) {
			return nil, fmt.Errorf("/etc/passwd: the home of %s is %q", name, w[5])
		}
		return &user{int(uid), int(gid), path.Clean(w[5])}, nil
	}
	return nil, fmt.Errorf("the image has no user %s (users are not made)", name)
}

// passwords writes hashes into shadow(5).
func passwords(of map[string]string) thing {
	users := slices.Sorted(maps.Keys(of))
	return thing{name: "passwords",
		may: func(t *tree) error {
			b, err := t.read("/etc/shadow")
			if err != nil {
				return err
			}
			_, err = shadow(string(b), of)
			return err
		},
		do: func(t *tree) (string, error) {
			b, err := t.read("/etc/shadow")
			if err != nil {
				return "", err
			}
			text, err := shadow(string(b), of)
			if err != nil {
				return "", err
			}
			return "of " + strings.Join(users, ", "), t.write("/etc/shadow", []byte(text), attributes{mode: 0o600})
		}}
}

// shadow puts hashes into the text of shadow(5). The other fields stay: when a password was changed last is not known
// better by a node without a clock.
func shadow(text string, of map[string]string) (string, error) {
	var out strings.Builder
	done := map[string]bool{}
	for line := range strings.Lines(text) {
		end := line[len(strings.TrimRight(line, "\n")):]
		w := strings.Split(strings.TrimSuffix(line, end), ":")
		if hash, ok := of[w[0]]; ok && len(w) == 9 {
			w[1], done[w[0]] = hash, true
			line = strings.Join(w, ":") + end
		}
		out.WriteString(line)
	}
	for _, user := range slices.Sorted(maps.Keys(of)) {
		if !done[user] {
			return "", fmt.Errorf("/etc/shadow of the image has no user %s (users are not made)", user)
		}
	}
	return out.String(), nil
}
