package cmd

import (
	"strings"
	"testing"
)

// TestWrongLines: what a command line alone shows to be wrong is exit code 2, and no server is asked: there is none.
func TestWrongLines(t *testing.T) {
	create := "session create --image debian "
	erase := "session erase --yes --method zero "
	for line, says := range map[string]string{
		create + "--nodes 1 --mode x":                               "mode",
		create + "--nodes 1 --boot x":                               `"x": kexec, reboot, poweroff, stay or shell`,
		create + "--nodes 1 --then x":                               `"x": kexec, reboot, poweroff, stay or shell`,
		create + "--nodes 1 --min-nodes 5":                          "min-nodes 5 is not in 0..1",
		create + "--nodes lab-1,lab-2 --min-nodes 3":                "min-nodes 3 is not in 0..2",
		create + "--nodes all --min-nodes -1":                       "min-nodes -1",
		create + "--nodes all --max-wait -5s":                       "negative",
		create + "--nodes all --give-up -5s":                        "negative",
		create + "--nodes all --expect-alive -5s":                   "negative",
		create + "--nodes all --rate 5":                             "below 100 kbit/s",
		create + "--nodes all --priority 5000":                      "priority 5000",
		create + "--nodes lab-1,lab-1":                              "twice",
		create + "--nodes 52:54:00:12:34:56,52-54-00-12-34-56":      "twice",
		create + "--nodes 25000":                                    "1..20000",
		create + "--on room=,,":                                     "--on",
		create + "--nodes all --disk smallest,largest":              "largest",
		"session create --capture x --nodes all":                    "one node",
		"session create --capture x --nodes 1 --level tiny":         "level",
		"session create --profile lab --nodes 1 --mode x":           "mode",
		"session create --partition 2=x --nodes all --max-wait -1s": "negative",
		erase + "--nodes 1 --boot x":                                `"x": kexec, reboot, poweroff, stay or shell`,
		erase + "--nodes 1 --then kexec":                            "nothing to start",
		erase + "--nodes 1 --disk first":                            "no disk by its order",
		erase + "--nodes 1 --give-up -1s":                           "negative",
		"profile set lab --image debian --mode x":                   "mode",
		"profile set lab --boot x":                                  `"x": kexec, reboot, poweroff, stay or shell`,
		"session edit s1 --max-wait -5s":                            "negative",
		"session edit s1 --min-nodes -1":                            "min-nodes -1",
		"session edit s1 --priority 5000":                           "priority 5000",
		"cast recv bogus":                                           "ticket",
		"cast send /dev/null --groups bogus":                        "--groups",
		"cast send /dev/null --ticket bogus":                        "ticket",
	} {
		args := strings.Fields(line)
		if args[0] != "cast" {
			args = append(args, "--server", "https://127.0.0.1:1", "--state", t.TempDir())
		}
		var out, errs strings.Builder
		err := Run(t.Context(), args, strings.NewReader(""), &out, &errs)
		if ExitCode(err) != exitUsage || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: exit %d, %v; want 2, %q", line, ExitCode(err), err, says)
		}
	}
}

// What only the server can judge is sent: here the connection fails.
func TestRightLines(t *testing.T) {
	for _, line := range []string{
		"session create --image debian --nodes lab-1,52:54:00:12:34:56,m3 --min-nodes 3 --max-wait 5s",
		"session create --capture x --on lab-1",
		"session create --on @front",
		"session create --profile lab --nodes 30 --mode full",
		"session create --capture x --nodes 1 --partition 2",
		"session erase --yes --method zero --on rack1-* --disk serial=X",
		"profile set lab --verify",
		"session edit s1 --rate 900M --min-nodes 7",
	} {
		args := append(strings.Fields(line), "--server", "https://127.0.0.1:1", "--state", t.TempDir())
		var out, errs strings.Builder
		err := Run(t.Context(), args, strings.NewReader(""), &out, &errs)
		if ExitCode(err) != exitFailed || !strings.Contains(err.Error(), "no server state") {
			t.Errorf("%s: exit %d, %v; want 1 for want of a server", line, ExitCode(err), err)
		}
	}
}
