package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/labfile"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/up"
)

// firsts are what `diskcast up` brings to the server when it serves.
type firsts struct {
	images []string // NAME=FILE
	labs   []string // files of YAML

	sources []source
	lab     *labfile.Reader // nil: none
}

// source is an image that is to be imported.
type source struct{ name, file string }

// check reads all that can be wrong before the first file is written, and returns the flag that asks for something;
// empty where none does.
func (f *firsts) check(e *env) (flag string, err error) {
	names := map[string]bool{}
	for _, s := range f.images {
		name, file, ok := strings.Cut(s, "=")
		if !ok || file == "" {
			return "", usage("--image %s: say NAME=FILE, such as debian=%s", s, s)
		}
		if err := image.CheckName(name); err != nil {
			return "", usage("--image %s: %w", s, err)
		}
		if names[name] {
			return "", usage("--image names %s twice", name)
		}
		if _, err := os.Stat(file); err != nil {
			return "", fmt.Errorf("--image %s: %w", s, err)
		}
		names[name] = true
		f.sources = append(f.sources, source{name, file})
		flag = "--image"
	}
	if len(f.labs) > 0 {
		if f.lab, err = e.readLab(f.labs); err != nil {
			return "", err
		}
		flag = "--file"
	}
	return flag, nil
}

// name is that of an image which the server has then; empty where none was named.
func (f *firsts) name() string {
	if len(f.sources) == 0 {
		return ""
	}
	return f.sources[0].name
}

// plainWord needs no quotes, neither from the shell nor in a selector.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// on is a selector of the machines to which the files give the profile that they give first: a label that these have
// and no other machine there, else the name of the first; empty where no machine has one.
func (f *firsts) on() string {
	if f.lab == nil {
		return ""
	}
	of := func(m *doc.MachineEntry) string {
		if m.Profile == nil {
			return ""
		}
		return *m.Profile
	}
	all := f.lab.Change.Machines
	i := slices.IndexFunc(all, func(m doc.MachineEntry) bool { return of(&m) != "" && plainWord.MatchString(m.Name) })
	if i < 0 {
		return ""
	}
	for _, key := range slices.Sorted(maps.Keys(all[i].Labels)) {
		value := all[i].Labels[key]
		if value == nil || !plainWord.MatchString(key) || !plainWord.MatchString(*value) {
			continue
		}
		if !slices.ContainsFunc(all, func(m doc.MachineEntry) bool {
			v := m.Labels[key]
			return (v != nil && *v == *value) != (of(&m) == of(&all[i]))
		}) {
			return key + "=" + *value
		}
	}
	return all[i].Name
}

// bring gives the server that serves its first images and its lab. What it has stays.
func (e *env) bring(ctx context.Context, f *firsts, r *up.Result, dry bool, say func(up.Step)) error {
	if len(f.sources) == 0 && f.lab == nil {
		return nil
	}
	step := func(done up.Done, format string, args ...any) {
		s := up.Step{What: fmt.Sprintf(format, args...), Done: done}
		r.Changed = r.Changed || done == up.Made
		r.Steps = append(r.Steps, s)
		if say != nil {
			say(s)
		}
	}
	if dry {
		for _, s := range f.sources {
			step(up.Would, "image %s of %s, unless the server has one of that name", s.name, s.file)
		}
		if f.lab != nil {
			step(up.Would, "what %s says of %s", strings.Join(f.labs, ", "), strings.Join(f.lab.Kinds(), ", "))
		}
		return nil
	}
	there := &env{UI: ui.UI{Err: e.Err, JSON: e.JSON}, in: e.in, state: r.Settings.State, images: r.URL, server: r.URL,
		debug: e.debug}
	c, err := there.client()
	if err != nil {
		return err
	}
	for _, s := range f.sources {
		if err := there.bringImage(ctx, c, s, step); err != nil {
			return fmt.Errorf("the server serves, and its image %s is not there: %w; run this again", s.name, err)
		}
	}
	if f.lab == nil {
		return nil
	}
	done, err := changeTo(ctx, c, f.lab)
	if err != nil {
		return fmt.Errorf("the server serves, and the lab is not as the files say: %w", err)
	}
	for _, w := range done.Warnings {
		e.Warn(w)
	}
	files := strings.Join(f.labs, ", ")
	if len(done.Changes) == 0 {
		step(up.Kept, "all that %s says is so", files)
		return nil
	}
	words := fmt.Sprintf("what %s says: %d changed", files, len(done.Changes))
	for _, d := range done.Changes {
		words += "\n" + d.Does + " " + d.Kind + " " + d.Name
	}
	step(up.Made, "%s", words)
	return nil
}

// bringImage imports an image unless there is one of its name; what is known to be damaged is healed.
func (e *env) bringImage(ctx context.Context, c *client.Client, s source, step func(up.Done, string, ...any)) error {
	v, err := c.Library().Show(ctx, s.name, 0)
	switch {
	case err == nil:
		step(up.Kept, "image %s, %s; %s was not read (`diskcast image import %s --name %s --server %s` takes it)",
			s.name, short(v.Digest), s.file, s.file, s.name, e.images)
		return nil
	case kind(err) != doc.KindNotFound && kind(err) != doc.KindDamaged:
		return err
	}
	var flags captureFlags
	flags.register(&cobra.Command{}) // the defaults of image import
	flags.name = s.name
	if err := flags.check(); err != nil {
		return err
	}
	var out bytes.Buffer
	e.Out = &out
	if err := e.importAny(ctx, s.file, &flags); err != nil {
		return err
	}
	words := strings.TrimSpace(out.String())
	if e.JSON {
		var got struct{ Digest string }
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			return fmt.Errorf("what the import printed: %w", err)
		}
		words = s.name + "  " + got.Digest
	}
	step(up.Made, "image of %s\n%s", s.file, words)
	return nil
}
