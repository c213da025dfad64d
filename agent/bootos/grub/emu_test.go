package grub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// emuScripts are small programs of GRUB's language. GRUB itself (grub-emu) runs them, and so do we; what they echo must
// be the same. DIR has the files a1 and a2 (of one line), empty, env (an environment block) and the directory dir. No
// line may be wider than GRUB's screen.
var emuScripts = []string{
	// Words, quotes, variables.
	`set a=1; echo a$a"b"'c'\d; echo "x\y\$a\"\\\n"; echo a"$nosuch"b; echo ${a}b$a$a; echo a#b #c`,
	`function p { echo "$# [$1] [$2] [$3] [$@] [$*]"; }; p a "b c" d; p "" b; p $nosuch b; p "$nosuch" b; p \  b`,
	`set v="a  b"; p $v; p x${v}y; p a=$v b; p "$v"; p a"$v"b; p $v$v; set e=; p $e$e x; p x$e; set w=" a "; ` +
		`p x${w}y; p $w`,
	`p a\x20b 'a\x20b' "a\x20b"; set q='"x y"'; p $q; p "a;b" 'c|d' e\;f; p [ ] = !`,
	`function q { for x in "$@"; do echo "<$x>"; done; for x in $@; do echo "<$x>"; done; for x in $*; ` +
		`do echo "<$x>"; done; }; q a "b c" ""`,
	`function q2 { p "$@"; p pre"$@"post; p "$*"; shift; p "$@"; setparams x y z; p "$@"; shift 2; p $@; }; ` +
		`q2 a "b c" d`,
	`function ten { echo $10 ${10} $1; }; ten a b c d e f g h i j k`,
	`echo "$1" $#; echo [$?]`,
	"p a\\\nb c; set r=\"a\nb\"; p \"$r\"; p 'a\nb'",
	`function block { echo "$2"; }; block x {a b}`,
	// Assignments.
	`a=b c=d; echo $a $c; set a=b c=d; echo $a $c; set a==x; echo $a; unset a; echo "[$a]"; set x; echo $?; ` +
		`set b=$nosuch; echo "[$b]"`,
	`set c='echo $v'; eval "$c"; eval "set z=1; echo \$z"; eval false; echo $?; set here=$root; set root=(hd0,1); ` +
		`echo $root; set root=$here`,
	// Status and if.
	`true; echo $?; false; echo $?; ! true; echo $?; ! false; echo $?; test a = b; echo $?; [ a = a ]; echo $?`,
	`if true; then echo t; else echo f; fi; if false; then echo t; elif true; then echo e; else echo f; fi; ` +
		`if false; then echo t; fi; echo $?`,
	`if true; false; then echo t; else echo f; fi; if false; true; then echo t; else echo f; fi; if ! [ a = b ]; ` +
		`then echo t; fi`,
	`function st { true; return 3; }; st; echo $?; if st; then echo t; else echo f; fi; function st2 { false; ` +
		`return; echo no; }; st2; echo $?`,
	`function sleepy { echo mine; }; sleepy; function true { echo shadow; }; true; return; echo on`,
	// Loops.
	`for i in a b c; do if [ $i = b ]; then break; fi; echo $i; done; echo $?; for i in a b c; do if [ $i = b ]; ` +
		`then continue; fi; echo $i; done`,
	`for i in a b; do for j in 1 2; do if [ $j = 2 ]; then break 2; fi; echo $i$j; done; done; echo $i $j`,
	`for i in a b; do for j in 1 2; do if [ $j = 1 ]; then continue 2; fi; echo $i$j; done; echo no; done; echo $i`,
	`for i in a b; do for j in 1 2; do if [ $j = 2 ]; then continue; fi; echo $i$j; done; echo end; done`,
	`set n=; while [ x$n != xaaa ]; do set n=a$n; done; echo $n; set n=; until [ x$n = xaaa ]; do set n=a$n; done; ` +
		`echo $n`,
	`while true; do echo once; break; done; until false; do echo once; break; done;`,
	`function lp { for i in 1 2 3; do if [ $i = 2 ]; then return 7; fi; echo $i; done; }; lp; echo $?; break; ` +
		`echo $?; continue; echo $?`,
	"function h { until break; do echo x; done; echo a; while break; do echo x; done; echo b; for i in 1 2; do until " +
		"continue; do echo x; done; echo $i; done; }; h; echo $?",
	// A file, the text of eval, and what follows a return in them.
	"function noop { echo noop; }; function h { source DIR/ret; echo no; }; h; echo $?",
	"function h { source DIR/ret3; }; false; h; echo $?; if h; then echo t; else echo f; fi",
	"function h { if source DIR/ret3; then echo t; fi; echo no; }; h; echo $?",
	"function h { source DIR/nest; echo no; }; h; echo $?; source DIR/nest; echo $?",
	"function h { ! source DIR/ret3; echo no; }; h; echo $?",
	"function h { ! return 3; }; h; echo $?",
	"function h { false; source DIR/src; echo no; }; h; echo $? $src",
	"function h { for i in 1 2; do source DIR/brk; echo $i $?; done; echo $i $?; }; h; source DIR/brk; echo $?",
	"function h { for i in 1 2; do source DIR/cont; echo $i $?; done; echo $i $?; }; h; source DIR/cont; echo $?",
	"function h { for i in 1 2; do source DIR/brk2; echo $i $?; done; echo $i $?; }; h; echo $?",
	"function h { for i in 1 2; do source DIR/ret3; echo no; done; echo no; }; h; echo $i $?; break; echo $?",
	"function h { for i in 1 2; do source DIR/retbrk; echo no; done; echo no; }; h; echo $i $?",
	"for i in 1 2; do h; echo after $i $?; done",
	"function h { while source DIR/ret3; do echo no; done; echo no; }; h; echo $?",
	"function h { source DIR/params; echo $1 $#; }; h a b; source DIR/params",
	"function h { eval 'return 3\necho e2; echo no\necho e3'; echo no; }; h; echo $?",
	"function h { eval 'return 3'; echo no; }; h; echo $?; function h { eval 'return 3; echo no'; }; h; echo $?",
	"function h { configfile DIR/ret3; echo no; }; h; echo $?",
	"eval 'false\n'; echo $?; eval 'false\n# a'; echo $?; eval 'false\nfunction h { true; }'; echo $?",
	"false\nfunction h { true; }\necho $?; h; echo $?",
	"function h { true; }\nh; echo a; function h { echo b; }\nh",
	"source; echo $?; source DIR/empty DIR/empty; echo $?; false; source DIR/empty; echo $?; configfile; echo $?",
	"configfile DIR/empty DIR/empty; echo $?; !; echo $?; ! ax=1; echo $? $ax; set 1=x; 1=y; echo \"[$1$0]\"",
	// The numbers that commands of the shell take.
	`function h { return x; echo $?; return 5x; echo $?; return 1 2; echo $?; return ""; echo $?; return 0x10; ` +
		`echo $?; return " 1 "; echo $?; return -1; echo $?; return 010; }; h; echo $?`,
	`function h { return " 7"; }; h; echo $?; return x; echo $?; if return; then echo t; else echo f; fi`,
	`function h { for i in 1; do break x; echo $?; break 5x; echo $?; break 1 2; echo $?; break ""; echo $?; ` +
		`break 0x1; echo $?; break 0; echo $?; break -1; echo $?; break " 1"; echo no; done; echo $?; }; h`,
	`function h { shift x; echo $?; shift 1x; echo $?; shift 1 1; echo $?; shift ""; echo $?; shift -1; echo $?; ` +
		`shift 9; echo $?; shift 0x1; echo $?; shift 0; echo $? $1; shift " 1"; echo $? $1; }; h a b c; ` +
		`shift x; echo $?`,
	// test.
	`function t { if test "$@"; then echo t; else echo f; fi; }; t; t a; t ""; t ! ""; t ! a; t !; t -n; t -z ""; ` +
		`t -n a; t a b; t "" b; t b ""`,
	`t a = a -a b = c -o d = d; t d = d -o a = a -a b = c; t a = b -a b = c -o d = d; t a = b -o b = c; t -o a; ` +
		`t x -a; t a -a b`,
	`t ( a = a ); t ( a = b ) -o ( c = c ); t ! ( a = b ); t ! ( a = a ) -o b; t ( ( a ) ); t ! a = b; t ! a = a; ` +
		`t ! a = a -o b = b; t a = a )`,
	`t 010 -eq 8; t 0x10 -eq 16; t 5x -eq 5; t -5 -lt 3; t -5 -lt -4; t 5 -gt 3; t 5 -ge 5; t 4 -le 3; t 4 -ne 4; ` +
		`t 10 -gt 9; t -0x5 -eq -5`,
	`t ab5 -pgt ab3; t ab5 -plt cd7; t ab5 -plt 7; t k-5.10 -pgt k-5.9; t a12 -pgt a13; t v10 -pgt v9; t 5 -plt 6`,
	`t 08 -eq 8; t 018 -eq 1; t +8 -eq 8; t 0X10 -eq 16; t 0x -eq 0; t 0xg -eq 0; t 09 -gt 08; t 0xA -eq 10; ` +
		`t a09 -pgt a08; t -5 -plt 3; t a010 -pgt a9`,
	`function sh { shift 0x1; shift 01; shift 1x; echo $@; }; sh a b c; for i in a b; do for j in c d; do echo $i$j; ` +
		`break 0x2; break 2z; break -1; break 0; done; done`,
	`regexp --set=01:v '(a)' a; echo $v; regexp --set=+1:v '(b)' b; echo $? $v; regexp --set=01x:v '(b)' b; ` +
		`echo $? $v; regexp --set=010:w '(a)' a; echo $? "[$w]"`,
	`t b '>' a; t a '<' b; t a '<=' a; t a '>=' b; t a != b; t a == a; t "(" = "("; t = = =; t "!" = "!"; t -n = -n; ` +
		`t "a b" = "a b"; t -x foo`,
	`t -e DIR/a1; t -f DIR/dir; t -d DIR/dir; t -e DIR/dir; t -s DIR/empty; t -f DIR/empty; t -s DIR/a1; ` +
		`t -f DIR/nosuch; t ! -e DIR/nosuch; t -d DIR`,
	`if [ -n "$nosuch" -a -f DIR/a1 ]; then echo t; else echo f; fi; if [ "$nosuch" ]; then echo t; else echo f; fi; ` +
		`if [ a -a ! -f DIR/b ]; then echo t; fi`,
	// Wildcards.
	`for x in DIR/a*; do echo $x; done; for x in DIR/a?; do echo $x; done; for x in DIR/zz*; do echo $x; done; ` +
		`for x in "DIR/a"*; do echo $x; done`,
	`for x in DIR/a\*; do echo $x; done; for x in "DIR/a*"; do echo $x; done; for x in DIR/a[12]; do echo $x; done; ` +
		`for x in a*; do echo $x; done`,
	`set g="DIR/a*"; for x in $g; do echo $x; done; for x in "$g"; do echo $x; done; for x in DIR/d*/in?ide; ` +
		`do echo $x; done; p x*y; set h=DIR/e*y; echo $h`,
	`for x in DIR/*/inside; do echo $x; done; for x in DIR/.h*; do echo $x; done; for x in DIR/*hid*; do echo $x; ` +
		`done; echo DIR/em*; echo DIR/di*/`,
	// regexp.
	`regexp --set=v '^a(b+)c$' abbc; echo $? $v; regexp --set=1:v --set 2:w '^(a)(b+)c$' abbc; echo $? $v $w; ` +
		`regexp -s v -s 2:w '(a)(b)' ab; echo $v $w`,
	`regexp '^x' abc; echo $?; regexp 'B' abc; echo $?; regexp '[' abc; echo $?; regexp --set=0:v 'b+' abbc; ` +
		`echo $v; regexp '(a|ab)(c|bcd)' abcd; echo $?`,
	`regexp --set=3:v '(a)' abc; echo "$? [$v]"; regexp a; echo $?; regexp --set 1:v -- '^-(.*)' -x; echo $? $v; ` +
		`regexp '(h)' h --set=1:v; echo $? $v`,
	`regexp --set=v '^vmlinuz-([0-9.]+)-(.*)$' vmlinuz-6.1.0-28-amd64; echo $v; regexp '^[[:digit:]]+$' 123; ` +
		`echo $?; regexp 'a{2}' baab; echo $?`,
	// Options of commands, as grub_arg_parse takes them.
	`search --file --set=f DIR/a1; echo $? $f; search --set f2 --file DIR/a1; echo $? $f2; search -f DIR/a1 -s f3; ` +
		`echo $? $f3; search -fs f4 DIR/a1; echo $? $f4`,
	`search --nosuch DIR/a1; echo $?; search DIR/a1; echo $?; search --file; echo $?; ` +
		`search --set=f5 --file DIR/nosuch; echo "$f5"; search -sf DIR/a1; echo $?`,
	`search.file DIR/a1 f6; echo $? $f6; search --no-floppy --file --hint hd0 --set=f7 -- DIR/a1; echo $? $f7; ` +
		`search --label nosuch --set f8; echo "$f8"`,
	// Environment block, other files.
	`load_env -f DIR/env; echo $? $one $two "$three"; unset one; unset two; load_env --file DIR/env one; ` +
		`echo "$one [$two]"; load_env --file=DIR/env two; echo $two`,
	`load_env -f DIR/a1; echo $?; load_env --nosuch; echo $?; source DIR/nosuch; echo $?; source DIR/src; ` +
		`echo $? $src; . DIR/src; echo $config_directory`,
	`export; echo $?; unset nosuch; echo $?; keystatus --shift; echo $?; configfile DIR/src; echo $? $src`,
	// Lines that begin with "#" are left out before anything else, carriage returns of files too.
	"p a \\\n# b\np c d\np e \\\n # f\np g\np h\\\n#i\nj\np k \\\n\\\n# l\nm\np n # o \\\np q",
	"set r=\"a\n#b\nc\"; p \"$r\"; set r='p a \\\n#b\nc'; eval \"$r\"; if true; then \\\n# d\necho e\nfi",
	"p a \\\r\nb\r\nset r=\"c\r\nd\"\r\np \"$r\"\r\n# e\r\np f\rg\r",
	"function f1 { echo first; }; f1\nfunction f1 { echo second; }; f1",
	`menuentry; echo $?; menuentry x; echo $?; menuentry --class { true; }; echo $?`,
	"if true\nthen\necho a\nelse\necho b\nfi\nfor i in a b\ndo\necho $i\ndone\nfunction nl\n{\necho nl\n}\nnl\nwhile " +
		"false\ndo\ntrue\ndone",
}

// emuMenus are lines before emuMenu that come to an entry (when none starts, GRUB waits for a key for ever); GRUB says
// which entry it starts and what $chosen and $default are in it.
var emuMenus = []string{
	``, `set default=1`, `set default=c`, `set default=idc`, `set default=99`, `set default=nosuch`,
	`set default="sub>1"`, `set default="5>sub2"`,
	`set default="5>9"`, `set default=5`, `set default="08"`, `set default="01"`, `set default="018"`,
	`set default="x>>y"`, `set default="x>y"`, `set default="a>b"`, `set default=0x2`, `set default=" 1"`,
	`set default=6; set fallback="6 1"`, `set default=6; set fallback="1 2"`,
	`set default=7; set fallback=2`, `set default=-1`, `export secret; set secret=1; set default=5`,
	`set hidden=1; set default="5>1"`, `set timeout_style=hidden; set default=b`,
	`set default=`, `set default=">0"`, `set default="0>"`, `set default="5>"`, `set default=">"`, `set default=">>"`,
	`menuentry z --id "" { say z "$chosen"; exit; }; set default=`,
	`menuentry "" --id z { say z; exit; }; set default=`,
	`submenu "" { menuentry z { true; }; menuentry y { say y; exit; }; }; set default=">1"`,
	`submenu "" { menuentry z { say z; exit; }; menuentry "" { say y; exit; }; }; set default=">"`,
	`submenu "" { set default=; menuentry z { true; }; menuentry "" { say y; exit; }; }; set default=">0"`,
	`menuentry "" { say z; exit; }; set default=7; set fallback="0 1"`, `menuentry "" { say z; exit; }; unset default`,
	`menuentry "" { say z; exit; }; set default=7; set fallback=2; export default`,
	`set chosen=; set default=1`, `export chosen; set default="5>1"`, `set chosen="a>b"; set default=5`,
	`set default=7; set fallback=1; set chosen=x`, `set default=7; set fallback="6 5"; export default`,
	"menuentry z {\nreturn 3\ntrue; say no\nsay z\nsay y\nexit\n}; set default=0",
	"menuentry z {\nreturn 3\n}\nmenuentry y {\ntrue; say no\nsay y\nsay x; exit\n}; set fallback=1; set default=0",
	"menuentry z { for i in 1 2; do return 3; done; exit\nbreak\nsay \"z $i\"\nexit\n}; set default=0",
}

const emuMenu = `
set timeout=0
function say { echo "RUN $1 chosen=$chosen default=$default"; }
menuentry a extra { say "a $1 $2"; exit; }
menuentry b --id b { say b; exit; }
menuentry c --id idc { say c; exit; }
menuentry 'x>y' { say xy; exit; }
menuentry d --class one --class two { say d; exit; }
submenu 'sub' {
  menuentry s1 { say "s1 $secret"; exit; }
  menuentry s2 --id sub2 { say "s2 $hidden"; exit; }
}
menuentry nothing { true; }
submenu empty { menuentry none { true; } }
menuentry ninth { say ninth; exit; }
`

// ansi is what GRUB prints to move on its screen; and how far it has read a file, which it shows where that takes long.
var ansi = regexp.MustCompile("\x1b\\[[0-9;]*[a-zA-Z]|\r| *\\[ [^ ]+  [0-9.]+[A-Za-z]*B  [0-9]+%  [^ ]+B/s \\]")

// emu has grub-emu run a configuration and returns the lines that it printed.
func emu(t *testing.T, dir, config string, args ...string) []string {
	t.Helper()
	home, err := os.MkdirTemp(dir, "g")
	if err == nil {
		err = os.WriteFile(filepath.Join(home, "grub.cfg"), []byte(config), 0o644)
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, need.Tool(t, "grub-emu"), append([]string{"-d", home}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("grub-emu: %v: %s", err, out)
	}
	var lines []string
	for line := range strings.Lines(ansi.ReplaceAllString(string(out), "")) {
		if line = strings.TrimRight(line, "\n"); line != "" && !strings.HasPrefix(line, "error: ") &&
			!strings.HasPrefix(line, "Welcome") {
			lines = append(lines, strings.TrimRight(line, " "))
		}
	}
	return lines
}

// ours runs a configuration with the disk hostFiles and returns what it echoes.
func ours(t *testing.T, dir, config string) (lines []string, err error) {
	t.Helper()
	home, err := os.MkdirTemp(dir, "g")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "grub.cfg")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return echoes(hostFiles{}, Options{Device: 1, Path: file})
}

// echoes runs a configuration and returns what it echoes.
func echoes(files Files, o Options) (lines []string, err error) {
	silent := commands["echo"]
	defer func() { commands["echo"] = silent }()
	commands["echo"] = func(_ *shell, args []string) (int, error) {
		for line := range strings.Lines(strings.Join(args, " ")) {
			if line = strings.TrimRight(line, " \n"); line != "" {
				lines = append(lines, line)
			}
		}
		return ok, nil
	}
	_, err = Default(files, o)
	return lines, err
}

// hostFiles is this machine's own tree as partition 1, in the way that grub-emu has it as (host).
type hostFiles struct{}

var _ Files = hostFiles{}

func (hostFiles) ReadFile(_ int, name string, _ int64) ([]byte, error) { return os.ReadFile(name) }
func (hostFiles) Blocks(int, int64, int64) ([]byte, error)             { return nil, fs.ErrNotExist }
func (hostFiles) Made() []Made                                         { return nil }
func (hostFiles) Unread() string                                       { return "" }
func (hostFiles) Encrypted() []Encrypted                               { return nil }
func (hostFiles) Holds(Layer) bool                                     { return false }
func (hostFiles) Unseen(int) bool                                      { return false }
func (hostFiles) Facts(dev int) (Facts, bool)                          { return Facts{}, dev == 1 }
func (hostFiles) Exists(dev int, name string, dir bool) bool {
	fi, err := os.Stat(name)
	return dev == 1 && err == nil && fi.IsDir() == dir
}

func (hostFiles) TooLinked(int, string) bool { return false }

// Listed follows links, as grub-emu does with the host's files.
func (hostFiles) Listed(dev int, name string) (dir, is bool) {
	fi, err := os.Stat(name)
	return err == nil && fi.IsDir(), dev == 1 && err == nil
}

func (hostFiles) List(_ int, name string) (names []string, err error) {
	entries, err := os.ReadDir(name)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// emuDir makes the files that the scripts look at, under a short name.
func emuDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	env := envMagic + "one=1\ntwo=a b\n# three=no\nthree=x\\\\y\\\nz\n"
	env += strings.Repeat("#", 1024-len(env))
	err = os.MkdirAll(filepath.Join(dir, "f", "dir"), 0o755)
	for name, content := range map[string]string{"a1": "x\n", "a2": "y\n", "empty": "", "env": env,
		"src": "set src=yes; return; set src=$src.on\n", "dir/inside": "", ".hidden": "",
		"ret":  "return 3\necho r2; echo no\n\nif true; then echo no; fi\nnoop; echo r4; echo r5\n",
		"ret3": "return 3; echo no\n", "nest": "echo n1\nsource $config_directory/ret3\necho n2 $?; echo no\nfalse\n",
		"brk": "break\necho no\n", "cont": "continue\necho no\n", "retbrk": "return 3\nbreak\necho no\n",
		"brk2": "for k in 1; do break 2; done\necho on\n", "params": "setparams x y; shift; echo $1 $#\n",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "f", name), []byte(content), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLikeGRUB runs all scripts in one go: they share variables and functions, in both.
func TestLikeGRUB(t *testing.T) {
	need.Tool(t, "grub-emu")
	dir := emuDir(t)
	var b strings.Builder
	b.WriteString("set pager=0\n")
	for i, script := range emuScripts {
		fmt.Fprintf(&b, "echo '== %d'\n%s\n", i, strings.ReplaceAll(script, "DIR", filepath.Join(dir, "f")))
	}
	config := b.String()
	want := sections(emu(t, dir, config+"exit\n"))
	lines, err := ours(t, dir, config)
	if !errors.Is(err, ErrEmpty) {
		t.Fatal(err)
	}
	got := sections(lines)
	for i, script := range emuScripts {
		at := fmt.Sprintf("== %d", i)
		if len(want[at]) == 0 {
			t.Errorf("GRUB says nothing to %s", script)
		}
		if diff := cmp.Diff(sameDevice(want[at]), sameDevice(got[at])); diff != "" {
			t.Errorf("%s\n-GRUB +ours\n%s", script, diff)
		}
	}
}

// sameDevice gives the one file system the same name in both.
func sameDevice(lines []string) (out []string) {
	for _, l := range lines {
		l = strings.ReplaceAll(l, "hd0,msdos1", "host")
		out = append(out, regexp.MustCompile(`/tmp/g[0-9]+/g[0-9]+`).ReplaceAllString(l, "HOME"))
	}
	return out
}

// sections cuts lines at those that begin with "==".
func sections(lines []string) map[string][]string {
	out := map[string][]string{}
	at := ""
	for _, l := range lines {
		if strings.HasPrefix(l, "== ") {
			at = l
			continue
		}
		out[at] = append(out[at], l)
	}
	return out
}

// TestMenuLikeGRUB asks GRUB which entry of a menu it starts.
func TestMenuLikeGRUB(t *testing.T) {
	need.Tool(t, "grub-emu")
	dir := emuDir(t)
	// GRUB waits some seconds after an entry that failed, so all are asked at once.
	want := make([][]string, len(emuMenus))
	var wg sync.WaitGroup
	for i, set := range emuMenus {
		wg.Go(func() {
			for _, line := range emu(t, dir, set+emuMenu) {
				if strings.HasPrefix(line, "RUN ") {
					want[i] = append(want[i], line)
				}
			}
		})
	}
	wg.Wait()
	for i, set := range emuMenus {
		got, err := ours(t, dir, set+emuMenu)
		var restart *Restart
		if diff := cmp.Diff(want[i], got); diff != "" || !errors.As(err, &restart) {
			t.Errorf("%s: %v\n-GRUB +ours\n%s", set, err, diff)
		}
	}
}
