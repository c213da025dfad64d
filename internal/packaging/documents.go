package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/diskcast/diskcast/server/cmd"
	"github.com/diskcast/diskcast/server/config"
)

// documents are man pages, completions and the example of the settings, by their paths below /.
func documents(date time.Time) (map[string][]byte, error) {
	out := map[string][]byte{}
	root := cmd.Tree()
	root.DisableAutoGenTag = true
	if err := pages(root, date, out); err != nil {
		return nil, err
	}
	// The scripts only ask the program, by its hidden command __complete: mkimage's own tree is not needed.
	for _, c := range []*cobra.Command{root, {Use: "mkimage"}} {
		for path, write := range map[string]func(*bytes.Buffer) error{
			"usr/share/bash-completion/completions/" + c.Name(): func(b *bytes.Buffer) error {
				return c.GenBashCompletionV2(b, true)
			},
			"usr/share/zsh/vendor-completions/_" + c.Name(): func(b *bytes.Buffer) error {
				return c.GenZshCompletion(b)
			},
			"usr/share/fish/vendor_completions.d/" + c.Name() + ".fish": func(b *bytes.Buffer) error {
				return c.GenFishCompletion(b, true)
			},
		} {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			out[path] = b.Bytes()
		}
	}
	var example bytes.Buffer
	if err := config.WriteExample(&example); err != nil {
		return nil, err
	}
	out["etc/diskcast/diskcast.example.toml"] = example.Bytes()
	return out, nil
}

// pages makes a man page of a command and of each below it.
func pages(c *cobra.Command, date time.Time, out map[string][]byte) error {
	if !c.IsAvailableCommand() && c.HasParent() || c.IsAdditionalHelpTopicCommand() {
		return nil
	}
	var text, zipped bytes.Buffer
	header := &doc.GenManHeader{Section: "1", Date: &date, Source: "diskcast", Manual: "diskcast"}
	if err := doc.GenMan(c, header, &text); err != nil {
		return fmt.Errorf("man page of %s: %w", c.CommandPath(), err)
	}
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // without name or time
	if err != nil {
		return err
	}
	if _, err := z.Write(text.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	name := ""
	for p := c; p != nil; p = p.Parent() {
		if name != "" {
			name = "-" + name
		}
		name = p.Name() + name
	}
	out["usr/share/man/man1/"+name+".1.gz"] = zipped.Bytes()
	for _, below := range c.Commands() {
		if err := pages(below, date, out); err != nil {
			return err
		}
	}
	return nil
}
