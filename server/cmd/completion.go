package cmd

import "github.com/spf13/cobra"

// completionExamples have the shell complete for whoever calls it, by shell.
var completionExamples = map[string]string{
	"bash":       "  source <(diskcast completion bash)",
	"zsh":        "  diskcast completion zsh > \"${fpath[1]}/_diskcast\"",
	"fish":       "  diskcast completion fish > ~/.config/fish/completions/diskcast.fish",
	"powershell": "  diskcast completion powershell | Out-String | Invoke-Expression",
}

// addCompletion adds the commands that print what makes a shell complete, with an example each.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		for _, shell := range c.Commands() {
			shell.Example = completionExamples[shell.Name()]
		}
	}
}
