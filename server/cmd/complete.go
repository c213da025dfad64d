package cmd

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/client/contexts"
	"github.com/diskcast/diskcast/server/doc"
)

// completePatience is how long a shell that completes a word waits for the server.
const completePatience = 3 * time.Second

// completer finds the words by which the shell completes what a command's usage calls so; nil: nobody knows any.
func completer(what string) func(context.Context, *env) ([]string, error) {
	switch what {
	case "MACHINE", "FROM", "INTO", "SELECTOR":
		return served(machineWords)
	case "NODE":
		return served(nodeWords)
	case "SESSION":
		return served(sessionWords)
	case "REPEAT":
		return served(repeatWords)
	case "JOB":
		return served(jobWords)
	case "PROFILE":
		return served(ofLab(profileNames))
	case "GROUP":
		return served(ofLab(groupWords))
	case "RULE":
		return served(ofLab(ruleNames))
	case "MENU":
		return served(ofLab(menuWords))
	case "ENTRY":
		return served(entryWords)
	case "CONTEXT":
		return contextWords
	case "NAME": // a new one, or one that nobody can list
		return func(context.Context, *env) ([]string, error) { return nil, nil }
	case "TOKEN":
		return served(tokenWords)
	case "IMAGE":
		return imageWords
	case serversImage:
		return served(func(ctx context.Context, c *client.Client) ([]string, error) {
			return imagesOf(c.Library().List(ctx))
		})
	}
	return nil
}

// serversImage is an image of the server's, whichever store the commands on images mean.
const serversImage = "an image of the server's"

// completedFlags are flags of which a value is such a word.
var completedFlags = map[string]string{"image": serversImage, "nodes": "MACHINE", "select": "MACHINE",
	"profile": "PROFILE", "context": "CONTEXT"}

// addCompletions has the shell complete arguments and flags of a command and of all below it, by what its usage calls
// them.
func addCompletions(e *env, cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		if words := argumentsOf(cmd); len(words) > 0 {
			cmd.ValidArgsFunction = func(cmd *cobra.Command, a []string, _ string) (
				[]string, cobra.ShellCompDirective) {
				i := min(len(a), len(words)-1)
				if i < len(a) && !strings.HasSuffix(words[i], "...") {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return e.complete(cmd, strings.TrimSuffix(words[i], "..."))
			}
		}
	}
	for name, word := range completedFlags {
		known := cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil
		if known && (name != "image" || cmd.HasParent() && cmd.Parent().Name() == "session") {
			_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, _ string) (
				[]string, cobra.ShellCompDirective) {
				return e.complete(cmd, word)
			}) // it fails only where there is one already
		}
	}
	for _, c := range cmd.Commands() {
		addCompletions(e, c)
	}
}

// namesOf says what a NAME of a command's usage is the name of, where the server knows those.
var namesOf = map[string]string{"diskcast token rm": "TOKEN", "diskcast login-link": "TOKEN",
	"diskcast profile show": "PROFILE", "diskcast profile rm": "PROFILE", "diskcast profile set": "PROFILE",
	"diskcast group show": "GROUP", "diskcast group rm": "GROUP", "diskcast group set": "GROUP",
	"diskcast rule show": "RULE", "diskcast rule rm": "RULE", "diskcast rule set": "RULE",
	"diskcast menu show": "MENU", "diskcast menu rm": "MENU", "diskcast menu set": "MENU",
	"diskcast context use": "CONTEXT", "diskcast context rm": "CONTEXT"}

// argumentsOf are the words of a usage such as "label MACHINE LABEL=VALUE|LABEL- ...", with its dots on the last one.
func argumentsOf(cmd *cobra.Command) []string {
	var out []string
	for _, w := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(w, "-") {
			break // a flag that must be there
		}
		if w == "..." && len(out) > 0 {
			out[len(out)-1] += w
			continue
		}
		w = strings.Trim(w, "[]")
		if w == "NAME|DIGEST..." {
			w = "IMAGE..."
		}
		if name, many := strings.CutSuffix(w, "..."); name == "NAME" && namesOf[cmd.CommandPath()] != "" {
			w = namesOf[cmd.CommandPath()]
			if many {
				w += "..."
			}
		}
		out = append(out, w)
	}
	return out
}

// complete asks for the words of a sort. Where there is none, or no answer, nothing is completed, and what is typed is
// judged when it is run.
func (e *env) complete(cmd *cobra.Command, what string) ([]string, cobra.ShellCompDirective) {
	find := completer(what)
	if find == nil {
		return nil, cobra.ShellCompDirectiveDefault // a file, as shells do
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completePatience)
	defer cancel()
	words, err := find(ctx, e)
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for i := range words {
		word, beside, _ := strings.Cut(words[i], "\t")
		words[i] = described(plain.Line(word, 0), plain.Line(beside, 0))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func served(find func(context.Context, *client.Client) ([]string, error)) func(context.Context, *env) ([]string,
	error) {
	return func(ctx context.Context, e *env) ([]string, error) {
		c, err := e.client()
		if err != nil {
			return nil, err
		}
		return find(ctx, c)
	}
}

// described is a word with what the shell shows beside it.
func described(word, words string) string {
	if words == "" {
		return word
	}
	return cobra.CompletionWithDesc(word, words)
}

func machineWords(ctx context.Context, c *client.Client) (out []string, err error) {
	all, err := c.Machines(ctx)
	for i := range all {
		m := &all[i]
		if m.Name != "" {
			out = append(out, described(m.Name, m.ID))
		} else {
			out = append(out, described(m.ID, strings.Join(m.Boots, " ")))
		}
	}
	return out, err
}

func nodeWords(ctx context.Context, c *client.Client) (out []string, err error) {
	all, err := c.Nodes(ctx)
	for i := range all {
		out = append(out, described(all[i].ID, all[i].Name))
	}
	return out, err
}

func sessionWords(ctx context.Context, c *client.Client) (out []string, err error) {
	all, err := c.Sessions(ctx)
	for i := range all {
		out = append(out, described(all[i].ID, all[i].State+", "+what(&all[i])))
	}
	return out, err
}

func repeatWords(ctx context.Context, c *client.Client) (out []string, err error) {
	all, err := c.Repeats(ctx)
	for i := range all {
		out = append(out, described(all[i].ID, all[i].Every))
	}
	return out, err
}

func jobWords(ctx context.Context, c *client.Client) (out []string, err error) {
	all, err := c.Jobs(ctx)
	for i := range all {
		out = append(out, described(all[i].ID, all[i].State+", "+all[i].Spec.Kind))
	}
	return out, err
}

func tokenWords(ctx context.Context, c *client.Client) (out []string, err error) {
	all, err := c.Tokens(ctx)
	for i := range all {
		out = append(out, described(all[i].Name, all[i].Role))
	}
	return out, err
}

// ofLab are words of what a lab has.
func ofLab(words func(*doc.Lab) []string) func(context.Context, *client.Client) ([]string, error) {
	return func(ctx context.Context, c *client.Client) ([]string, error) {
		lab, err := c.Lab(ctx)
		if err != nil {
			return nil, err
		}
		return words(lab), nil
	}
}

func profileNames(lab *doc.Lab) (out []string) {
	for i := range lab.Profiles {
		out = append(out, lab.Profiles[i].Name)
	}
	return out
}

func groupWords(lab *doc.Lab) (out []string) {
	for i := range lab.Groups {
		out = append(out, described(lab.Groups[i].Name, lab.Groups[i].Select))
	}
	return out
}

func ruleNames(lab *doc.Lab) (out []string) {
	for i := range lab.Rules {
		out = append(out, lab.Rules[i].Name)
	}
	return out
}

func menuWords(lab *doc.Lab) (out []string) {
	for i := range lab.Menus {
		out = append(out, described(lab.Menus[i].Name, strings.Join(lab.Menus[i].Entries, " ")))
	}
	return out
}

// entryWords are what a menu may have in it.
func entryWords(ctx context.Context, c *client.Client) ([]string, error) {
	out := []string{doc.EntryOwnDisk, doc.EntryWait, doc.EntryRescue, doc.EntryMemtest}
	profiles, err := ofLab(profileNames)(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, p := range profiles {
		out = append(out, doc.EntryProfile+p)
	}
	images, err := imagesOf(c.Library().List(ctx))
	if err != nil { // a token that is held to machines may not list them
		cobra.CompDebugln(err.Error(), false)
	}
	for _, im := range images {
		out = append(out, doc.EntryImage+im)
	}
	return out, nil
}

// contextWords are of who types: no server is asked.
func contextWords(context.Context, *env) (out []string, err error) {
	f, err := contexts.Load(contexts.Path())
	if err != nil {
		return nil, err
	}
	for _, name := range f.Names() {
		out = append(out, described(name, f.Servers[name].Server))
	}
	return out, nil
}

func imageWords(ctx context.Context, e *env) ([]string, error) {
	lib, err := e.library()
	if err != nil {
		return nil, err
	}
	return imagesOf(lib.List(ctx))
}

func imagesOf(all []doc.ImageRow, err error) ([]string, error) {
	var out []string
	for i := range all {
		if all[i].Name != "" {
			out = append(out, all[i].Name)
		}
	}
	return out, err
}
