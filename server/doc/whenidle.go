package doc

import (
	"fmt"
	"slices"
	"strings"
)

// What a machine boots when nothing is asked of it: the words of when_idle.
const (
	IdleDefault = "default"  // its own disk where a session gave it an image, else it waits in the agent
	IdleOwnDisk = "own-disk" // its own disk, always
	IdleWait    = "wait"     // it waits in the agent
	IdleMenu    = "menu"     // what somebody at the machine chooses, its own disk when nobody does
	IdleNever   = "never"    // this server does not boot it, for sessions neither
)

// IdleMenuOf and the name of a menu are a word of when_idle too: what somebody at the machine chooses from that one.
const IdleMenuOf = IdleMenu + ":"

// IdleMenuName is the menu that a word of when_idle names, empty for none.
func IdleMenuName(word string) string {
	name, ok := strings.CutPrefix(word, IdleMenuOf)
	if !ok {
		return ""
	}
	return name
}

// IdleWords are all words of when_idle.
func IdleWords() []string { return []string{IdleDefault, IdleOwnDisk, IdleWait, IdleMenu, IdleNever} }

// CheckIdle refuses what is no word of when_idle, and returns what is kept of one: nothing for the default.
func CheckIdle(word string) (string, error) {
	switch {
	case word == IdleDefault:
		return "", nil
	case word == "" || slices.Contains(IdleWords(), word), IdleMenuName(word) != "":
		return word, nil
	}
	return "", fmt.Errorf("when_idle: %.40q is none of %s, %sNAME", word, strings.Join(IdleWords(), ", "), IdleMenuOf)
}
