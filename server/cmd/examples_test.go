package cmd

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestExamples: every command that does something has an example that runs it, and every diskcast in an example is a
// command that there is, with flags and so many arguments as it takes.
func TestExamples(t *testing.T) {
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		runs := false
		for line := range strings.Lines(c.Example) {
			for _, args := range commandsOf(line) {
				root := Tree()
				found, rest, err := root.Find(args)
				if err != nil {
					t.Errorf("example %q: %v", line, err)
					continue
				}
				if err := found.ParseFlags(rest); err != nil {
					t.Errorf("example %q: %v", line, err)
					continue
				}
				if err := found.ValidateArgs(found.Flags().Args()); err != nil {
					t.Errorf("example %q: %v", line, err)
				}
				runs = runs || found.CommandPath() == c.CommandPath()
			}
		}
		if c.Runnable() && !c.HasSubCommands() && !runs { // the others print their help
			t.Errorf("%s has no example that runs it: %q", c.CommandPath(), c.Example)
		}
		for _, s := range c.Commands() {
			each(s)
		}
	}
	each(Tree())
}

// commandsOf are the arguments of each diskcast in a line for a shell: pipes, lists and substitutions are taken apart.
func commandsOf(line string) (all [][]string) {
	var words []string
	var word strings.Builder
	began, quote := false, rune(0)
	endWord := func() {
		if began {
			words = append(words, word.String())
		}
		word.Reset()
		began = false
	}
	end := func() {
		endWord()
		for i, w := range words {
			if w == "diskcast" {
				all = append(all, words[i+1:])
				break
			}
		}
		words = nil
	}
	for i, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, began = r, true
		case r == '#' && !began:
			end()
			return all
		case strings.ContainsRune(" \t\n", r):
			endWord()
		case r == '$' && strings.HasPrefix(line[i:], "$("): // what it prints is one word more
			inner, after, _ := strings.Cut(line[i+2:], ")")
			all = append(all, commandsOf(inner)...)
			return append(all, commandsOf(strings.Join(words, " ")+" x"+after)...)
		case strings.ContainsRune("|&;()", r):
			end()
		case r == '<' || r == '>': // the file is no argument
			end()
			if _, after, more := strings.Cut(line[i:], "|"); more {
				return append(all, commandsOf(after)...)
			}
			if !strings.HasPrefix(line[i:], "<(") {
				return all
			}
		default:
			word.WriteRune(r)
			began = true
		}
	}
	end()
	return all
}
