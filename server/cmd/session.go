package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
)

func sessionCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "session", Aliases: []string{"sessions"},
		Short: "Create and follow sessions: one image going to a set of nodes, or coming from one",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(sessionCreate(e), sessionPlan(e), sessionErase(e), sessionRescue(e), sessionList(e), sessionShow(e),
		sessionWatch(e),
		sessionGo(e), sessionEdit(e), sessionRetry(e), sessionCancel(e), sessionRemove(e))
	return cmd
}

func sessionCreate(e *env) *cobra.Command {
	var every, missed string
	cmd := specCommand(e, false, func(cmd *cobra.Command, spec doc.Spec, watch bool) error {
		if cmd.Flags().Changed("missed") && every == "" {
			return usage("--missed goes with --every")
		}
		if planned(cmd) {
			return e.plan(cmd, spec, watch)
		}
		if every != "" {
			return e.createRepeat(cmd, every, missed, spec)
		}
		c, err := e.client()
		if err != nil {
			return err
		}
		fields := asked(cmd, spec)
		e.foresee(cmd.Context(), c, fields)
		s, err := c.CreateOf(cmd.Context(), fields)
		if err != nil {
			return err
		}
		return e.created(cmd.Context(), c, s, watch)
	})
	planFlags(cmd)
	cmd.Flags().StringVar(&every, "every", "", "make such a session again and again, as cron says: \"0 3 * * 1-5\", "+
		"@daily, in the server's time zone (diskcast repeat)")
	cmd.Flags().StringVar(&missed, "missed", doc.MissedSkip,
		"with --every: what becomes of times at which the server did not run: skip (said, and no more), run (one "+
			"session for all of them)")
	return cmd
}

// specCommand is a command whose flags make a spec, for then to use; a part of one need not say what and where.
func specCommand(e *env, part bool, then func(cmd *cobra.Command, spec doc.Spec, watch bool) error) *cobra.Command {
	var spec doc.Spec
	var on, disks []string
	var nodes, rate, boot, kernelArgs, gaps, partition, at string
	var shell shellFlags
	var maxWait, giveUp, alive time.Duration
	var watch, grow bool
	var own ownFlags
	cmd := &cobra.Command{
		Use:   "create --image NAME|--profile NAME|--capture NAME --on SELECTOR|--nodes WHICH",
		Short: "Create a session",
		Long: `Create a session: the nodes named receive the image, write it to the disk that the rule chooses, and ` +
			`boot it.

WHICH nodes:
  all          every node that the agent runs on now or that comes while the session lasts
  30           the first 30 nodes that come
  MAC,MAC,...  these, by any of their MAC addresses

--on takes machines by a selector instead: 'rack1-*', 'room=210,!spare', @group (diskcast machine list --help). What it
fits when the session is made is meant, machines that have not come yet too.

With --power on, its machines are told to boot from the network once and are switched on, when the session is made or
its --at comes, each one read back (diskcast machine power). One that is on and not in the agent is left alone:
--power cycle ends what it runs.

--profile takes what no flag says from a profile (diskcast profile); with --on and neither image nor profile, from the
one that all its machines have (diskcast machine profile).

The session starts with the first node, or with --min-nodes of them, or when --max-wait is over. Nodes that come later
join in, and only what they miss is sent again. It ends when every node is done or has failed.

On a disk that is larger than the image's, the last partition and its file system (ext2, ext3, ext4, XFS or btrfs) are
grown to the end of the disk, after everything was written, and verified if that was asked for. --grow=false leaves
all sizes as they are.

With --partition 2=IMAGE, the image goes into partition 2 of the disk (or name=NAME, uuid=PARTUUID of it) instead, and
nothing else on the disk is written: partition table, boot code and other partitions stay bit for bit. IMAGE is one of
a partition, or IMAGE:3 partition 3 of one of a disk, which is cut out first. What starts then is up to the boot loader
that the disk has. With --capture and --partition 2, only that partition becomes an image.

With --capture, one node's disk becomes an image on the server instead: the node reads all that no file system calls
free, and sends the chunks that no image of the server has. A node or server that is switched off in between goes on
where it was.

Which DISK (all parts of the rule must hold; exactly one disk must be left):
  only                 the machine's only disk (the default); removable and USB disks do not count
  serial=S4X...        wwn=naa.5000c500...  by-path=pci-0000:00:1f.2-ata-1  model='Samsung SSD 9*'
  hctl=0:2:1:0         type=nvme|ssd|hdd|usb, or type=!usb: any other   min=100G  max=2T
  smallest  largest    of those that are left; first: by place
  path=/dev/sda        what the kernel calls so when the node's first plan is made; it may be another disk at each start
Joined by commas: type=ssd,min=200G,smallest. "diskcast node show" prints what a rule can use. The disk that a node's
first plan in the session chose stays the session's disk on that node, whatever the kernel calls it after a restart.

With --then shell, a machine whose disk is written, personalized and has its boot entry gives a shell as root on its
consoles, and by SSH for each --shell-key: session show has the command. With the last exit, or after --shell-limit, it
starts what is on its disk as with kexec; its part is not done before.

Several disks: --disk RULE=IMAGE for each, without --image. The machine starts from the first, and --personalize goes to
that one; --mode, --verify and --grow are of all. Nothing is written to any of them before the plans for all are
checked, and two rules that mean one disk are refused. They are written one after another,
each from a cast of its own.`,
		Example: `  diskcast session create --image debian --nodes 30 --watch
  diskcast session create --disk smallest=debian --disk type=hdd,largest=data --nodes 30 --watch
  diskcast session create --profile lab --on 'room=210,!spare' --watch
  diskcast session create --image win11 --nodes all --min-nodes 20 --max-wait 10m --disk type=nvme,largest
  diskcast session create --capture golden --nodes 52:54:00:12:34:56 --disk serial=S4XBNF0M --watch
  diskcast session create --image debian --nodes 52:54:00:12:34:56,52:54:00:12:34:57 --boot reboot
  diskcast session create --image debian --on @front --power on --at 21:30 --then poweroff
  diskcast session create --profile lab --on room=210 --power cycle --then poweroff --every "0 3 * * 1-5"
  diskcast session create --partition 2=debian-root --nodes 3 --disk only --verify --watch
  diskcast session create --image debian --on lab-07 --then shell --shell-key ~/.ssh/id_ed25519.pub`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec.V = session.Version
			e.noteBoot(cmd)
			if partition != "" {
				if spec.Image != "" {
					return usage("--partition %s names the image that goes to the partition: leave --image out",
						partition)
				}
				if err := setPartition(&spec, partition); err != nil {
					return err
				}
			}
			if err := setDisks(&spec, disks); err != nil {
				return err
			}
			parseOn(on, &spec)
			if err := checkCreate(cmd, &spec); err != nil && !part {
				return err
			}
			if err := checkGaps(gaps); err != nil {
				return err
			}
			spec.DropGaps = gaps == gapsDrop
			if err := parseNodes(nodes, &spec); err != nil && !part {
				return err
			}
			if err := checkPower(&spec); err != nil {
				return err
			}
			spec.NoGrow = !grow
			var err error
			if spec.Personalize, err = own.settings(cmd.Flags().Changed); err != nil {
				return err
			}
			spec.MaxWait, spec.GiveUp = maxWait.Seconds(), giveUp.Seconds()
			spec.ExpectAlive = alive.Seconds()
			if spec.Capture == "" || cmd.Flags().Changed("then") {
				spec.Boot = &session.Boot{Method: boot, Append: kernelArgs}
				if err := shell.set(cmd, spec.Boot); err != nil {
					return err
				}
			}
			if spec.Rate, err = parseRate(rate); err != nil {
				return err
			}
			if at != "" {
				if spec.At, err = e.readAt(at); err != nil {
					return err
				}
			}
			if err := checkSpec(&spec); err != nil {
				return err
			}
			if spec.Kind == session.RestorePartition {
				c, err := e.client()
				if err != nil {
					return err
				}
				if spec.Image, err = e.partitionImage(cmd.Context(), c.Library(), spec.Image,
					!planned(cmd)); err != nil {
					return err
				}
			}
			return then(cmd, spec, watch)
		},
	}
	f := cmd.Flags()
	f.StringVar(&partition, "partition", "",
		"PARTITION=IMAGE: write only this partition of the disk (2, name=NAME, uuid=PARTUUID); with --capture "+
			"PARTITION")
	f.StringVar(&spec.Image, "image", "", "image, by name or digest")
	f.StringVar(&spec.Capture, "capture", "", "capture a node's disk as an image with this name")
	f.StringVar(&spec.Level, "level", "", "compression of a capture: fast, default or small")
	f.StringVar(&spec.Parent, "parent", "",
		"of a capture: image whose chunks are preferred where several have the same")
	f.StringVar(&gaps, "gaps", gapsKeep,
		"of a capture: what lies in no partition: keep, or drop all but what boot loaders use")
	f.StringVar(&nodes, "nodes", "", "all, a number, or names of machines and MAC addresses joined by commas")
	onFlag(f, &on)
	f.StringVar(&spec.Profile, "profile", "", "take what no other flag says from this profile")
	f.IntVar(&spec.MinNodes, "min-nodes", 0, "nodes to wait for before the cast starts (default 1)")
	f.DurationVar(&maxWait, "max-wait", 0, "how long to wait for nodes (default: for ever)")
	f.DurationVar(&giveUp, "give-up", 0, "a node silent for so long has failed (default 30m)")
	f.StringArrayVar(&disks, "disk", []string{"only"},
		"rule that chooses the disk; or RULE=IMAGE for each of several disks, the one to start from first")
	own.flags(f)
	powerFlags(f, &spec)
	hookFlags(f, &spec)
	f.StringVar(&spec.Mode, "mode", "", "full, delta (send only what the disk lacks) or auto (default)")
	f.BoolVar(&spec.Verify, "verify", false, "read the disk back and compare")
	f.BoolVar(&grow, "grow", true, "let the last partition and its file system fill a larger disk")
	f.StringVar(&boot, "then", session.BootKexec,
		"what nodes do in the end: kexec, reboot, poweroff, stay (after a capture: stay), or shell (then kexec)")
	oldBoot(cmd)
	shell.flags(f)
	f.StringVar(&kernelArgs, "append", "", "added to the restored system's kernel command line (kexec); empty: not "+
		"what the profile adds")
	f.StringVar(&rate, "rate", "", "fix the cast's rate, such as 900M (bits a second; default: found by itself)")
	f.DurationVar(&alive, "expect-alive", 0,
		"a machine fails that gives no sign of life of its new system for so long after it left")
	f.StringVar(&at, "at", "", "start at this time, not before: 21:30, \"2026-11-28 21:30\", +90m or RFC 3339")
	f.IntVar(&spec.Priority, "priority", 0,
		"the highest is next where the server bounds the casts at once (serve --casts)")
	f.StringVar(&spec.Notes, "notes", "", "the operator's own notes")
	f.BoolVar(&watch, "watch", false, "follow the session until it is over")
	return cmd
}

// create makes a session of the spec.
func (e *env) create(ctx context.Context, spec doc.Spec, watch bool) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	s, err := c.Create(ctx, spec)
	if err != nil {
		return err
	}
	return e.created(ctx, c, s, watch)
}

// created says what is to be said of a session that was just made, and follows it if asked to.
func (e *env) created(ctx context.Context, c *client.Client, s *doc.Session, watch bool) error {
	for _, w := range s.Warnings {
		e.Warn(w)
	}
	if !e.JSON {
		e.createNotes(s)
	}
	if watch {
		if !e.JSON {
			fmt.Fprintf(e.Out, "session %s\n", s.ID)
		}
		return e.watch(ctx, c, s.ID)
	}
	if e.JSON {
		return e.Doc(s)
	}
	fmt.Fprintf(e.Out, "%s\n", s.ID)
	return nil
}

// createNotes says, beside the session's name, what the operator should know before disks are written.
func (e *env) createNotes(s *doc.Session) {
	for _, n := range s.Notes {
		fmt.Fprintf(e.Err, "diskcast: note: image %s: %s\n", plain.Line(s.Image.Name, 0), plain.Line(n, 0))
	}
	if b := s.Spec.Boot; b != nil && b.Method == session.BootShell {
		if spec, err := rescue.ParseSpec(b.Shell); err == nil && len(spec.Keys) == 0 {
			e.Note("no key may come in by SSH (--shell-key): the shell is on the machines' consoles only")
		}
	}
	for i := range s.Parts {
		p := &s.Parts[i]
		for _, words := range []string{p.Unbootable, p.Warning} {
			if words != "" {
				e.Warn(fmt.Sprintf("node %s: %s", p.Node, words))
			}
		}
	}
}

// checkCreate looks at what goes with a restore and what with a capture.
func checkCreate(cmd *cobra.Command, spec *doc.Spec) error {
	switch {
	case spec.Image == "" && spec.Capture == "" && (spec.Profile != "" || spec.On != ""):
	case spec.Image == "" && spec.Capture == "":
		return usage("name the image with --image (`diskcast image list` lists them), or the one to be made with " +
			"--capture")
	case spec.Image != "" && spec.Capture != "":
		return usage("--image sends an image to nodes, --capture makes one of a node's disk: give one of the two")
	}
	of, wrong := "--image", []string{"level", "parent", "gaps"}
	if spec.Capture != "" {
		of, wrong = "--capture", []string{"mode", "verify", "grow", "rate", "append", "expect-alive", "personalize",
			"shell-key", "shell-limit",
			"hostname", "authorized-keys", "machine-id", "ssh-host-keys"}
	}
	for _, name := range wrong {
		if cmd.Flags().Changed(name) {
			return usage("--%s does not go with %s", name, of)
		}
	}
	return nil
}

func parseNodes(s string, spec *doc.Spec) error {
	switch n, err := strconv.Atoi(s); {
	case spec.On != "" && s != "":
		return usage("--on and --nodes both say which machines: leave one away")
	case spec.On != "":
	case s == "":
		return usage("say which machines with --on SELECTOR, or with --nodes: all, how many, or which names or MAC " +
			"addresses")
	case s == "all":
		spec.All = true
	case err == nil && n > 0:
		spec.Count = n
	case err == nil:
		return usage("--nodes %d is not a number of nodes", n)
	default:
		for m := range strings.SplitSeq(s, ",") {
			name := strings.TrimSpace(m)
			if id, err := doc.NodeID(name); err == nil {
				name = id
			} else if !fleet.MayBeName(name) {
				return usage("--nodes: %w", err)
			}
			if slices.Contains(spec.Nodes, name) {
				return usage("--nodes: %s is named twice", name)
			}
			spec.Nodes = append(spec.Nodes, name)
		}
	}
	return nil
}

func sessionWatch(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "watch SESSION",
		Short: "Follow a session until it is over",
		Long: `Follow a session until it is over; then print a timeline of each node. With --json, every change is ` +
			`one line of JSON
(docs/operator-api.md). A server that restarts is waited for. Exit code 3 says that not every node has the image; 5
that every node has it and some machines will not start from it by themselves, for the reasons that are told.`,
		Example: "  diskcast session watch s1\n  diskcast session watch s1 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			return e.watch(cmd.Context(), c, a[0])
		},
	}
}

func sessionCancel(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel SESSION...",
		Short: "End sessions; their nodes stop and go idle",
		Long: `End sessions; their nodes stop and go idle. One that is over stays as it is. Where one of several ` +
			`cannot be
ended, the others are, and the exit code is 1.`,
		Example: `  diskcast session cancel s4
  diskcast session cancel $(diskcast session list --open -o name)`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			return endEach(e, a, func(id string) (*doc.Session, error) { return c.Cancel(cmd.Context(), id) },
				func(s *doc.Session) {
					fmt.Fprintf(e.Out, "%s %s\n", s.ID, s.State)
					e.printLeft(s)
					for _, w := range s.Warnings {
						fmt.Fprintf(e.Err, "diskcast: warning: %s\n", plain.Line(w, 0))
					}
				})
		},
	}
}

// endEach ends one after the other, those after one that cannot be ended too, and prints each that was.
func endEach[T any](e *env, ids []string, end func(id string) (*T, error), show func(*T)) error {
	var ended []*T
	var failed error
	for _, id := range ids {
		x, err := end(id)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		ended = append(ended, x)
		if !e.JSON {
			show(x)
		}
	}
	switch {
	case !e.JSON || len(ended) == 0:
		return failed
	case len(ids) == 1:
		return e.Doc(ended[0])
	}
	return errors.Join(failed, e.Doc(ended))
}

// sessionResult is the error for how a session ended.
func sessionResult(s *doc.Session) error {
	code := exitSession
	switch {
	case s == nil, s.State == doc.Done && s.Unbootable == 0:
		return nil
	case s.State == doc.Done:
		code = exitUnbootable
	}
	words := "session " + s.ID + " " + s.State
	if s.Reason != "" {
		words += ": " + s.Reason
	}
	return &codeError{code, errors.New(words)}
}
