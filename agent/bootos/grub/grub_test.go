package grub

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestDefault(t *testing.T) {
	fedora := &fakeFiles{uuids: map[string]int{"boot": 2, "root": 3}, files: map[string]string{
		"2:/grub2/grub.cfg": `set pager=1
if [ -f ${config_directory}/grubenv ]; then load_env -f ${config_directory}/grubenv
elif [ -s $prefix/grubenv ]; then load_env; fi
set default="${saved_entry}"
search --no-floppy --set=root --fs-uuid boot
if [ "x${feature_platform_search_hint}" = xy ]; then search --no-floppy --fs-uuid ` +
			`--set=boot --hint-bios=hd0,gpt2 boot; fi
if [ -z "${kernelopts}" ]; then set kernelopts="root=UUID=root ro "; fi
insmod blscfg
blscfg
menuentry "Settings" { fwsetup }`,
		"2:/grub2/grubenv": envMagic +
			"saved_entry=abc-6.8.5-301.fc40.x86_64\nkernelopts=root=UUID=root ro rhgb\n####",
		"2:/loader/entries/abc-6.8.5.conf": "title not this\nversion 1\n",
		"2:/loader/entries/abc-0-rescue.conf": "title Rescue\nversion 0-rescue\nlinux /vmlinuabc-0-rescue\ninitrd " +
			"/initramfs-0-rescue.img\noptions root=x\n",
		"2:/loader/entries/abc-6.8.5-301.fc40.x86_64.conf": "title Fedora Linux (6.8.5)\nversion " +
			"6.8.5-301.fc40.x86_64\nlinux /vmlinuz-6.8.5\n" +
			"initrd /initramfs-6.8.5.img $tuned_initrd\noptions $kernelopts $tuned_params quiet\ngrub_class fedora\n",
		"2:/loader/entries/abc-6.10.1-200.fc40.x86_64.conf": "title Fedora Linux (6.10.1)\nversion " +
			"6.10.1-200.fc40.x86_64\nlinux /vmlinuz-6.10.1\n" +
			"initrd /initramfs-6.10.1.img\noptions root=UUID=root ro\n",
	}}
	newest := &fakeFiles{uuids: fedora.uuids, files: map[string]string{}}
	for k, v := range fedora.files {
		newest.files[k] = v
	}
	delete(newest.files, "2:/grub2/grubenv")
	for _, f := range []*fakeFiles{fedora, newest} {
		f.files["2:/grub2/grub.cfg"] = "set timeout=5\n" + f.files["2:/grub2/grub.cfg"]
		for _, v := range []string{"6.8.5", "6.10.1"} {
			f.files["2:/vmlinuz-"+v], f.files["2:/initramfs-"+v+".img"] = "k", "i"
		}
	}

	tests := []struct {
		name  string
		files *fakeFiles
		at    File
		want  *Entry
		err   error
	}{
		{"first entry by number", debian("0", ""), File{2, "/boot/grub/grub.cfg"}, simpleEntry, nil},
		{"by way of the EFI system partition", debian("0", ""), File{1, "/EFI/debian/grub.cfg"}, simpleEntry, nil},
		{"entry of a submenu by number", debian("1>1", ""), File{2, "/boot/grub/grub.cfg"}, oldEntry, nil},
		{"entry of a submenu by ids", debian("gnulinux-advanced-1111>gnulinux-6.1.0-50-amd64-advanced-1111", ""),
			File{2, "/boot/grub/grub.cfg"}, oldEntry, nil},
		{"entry of a submenu by title",
			debian("Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-50-amd64", ""),
			File{2, "/boot/grub/grub.cfg"}, oldEntry, nil},
		{"saved entry", debian("${saved_entry}", "saved_entry=1>1\n"), File{2, "/boot/grub/grub.cfg"}, oldEntry, nil},
		{"no saved entry", debian("${saved_entry}", ""), File{2, "/boot/grub/grub.cfg"}, simpleEntry, nil},
		{"entry that is gone", debian("gnulinux-5.10", ""), File{2, "/boot/grub/grub.cfg"}, simpleEntry, nil},
		{"boot loader specification, saved", fedora, File{2, "/grub2/grub.cfg"}, &Entry{
			Title: "Fedora Linux (6.8.5)", Kernel: File{2, "/vmlinuz-6.8.5"},
			Initrds: []File{{2, "/initramfs-6.8.5.img"}},
			Args:    "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.8.5 root=UUID=root ro rhgb quiet",
		}, nil},
		{"boot loader specification, newest", newest, File{2, "/grub2/grub.cfg"}, &Entry{
			Title: "Fedora Linux (6.10.1)", Kernel: File{2, "/vmlinuz-6.10.1"},
			Initrds: []File{{2, "/initramfs-6.10.1.img"}},
			Args:    "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.10.1 root=UUID=root ro",
		}, nil},
		{"no menu", &fakeFiles{files: map[string]string{"1:/g": "set timeout=5\n"}}, File{1, "/g"}, nil, ErrEmpty},
		{"a file that is not there", &fakeFiles{}, File{1, "/g"}, nil, fs.ErrNotExist},
		{"a loop without end", &fakeFiles{files: map[string]string{"1:/g": "while true; do set a=1; done"}},
			File{1, "/g"}, nil, ErrLimit},
		{"a function without end", &fakeFiles{files: map[string]string{"1:/g": "function f { f; f; }\nf\n"}},
			File{1, "/g"}, nil, ErrLimit},
		{"a file that sources itself", &fakeFiles{files: map[string]string{"1:/g": "source /g\nsource /g"}},
			File{1, "/g"}, nil, ErrLimit},
		{"a fallback without end",
			&fakeFiles{files: map[string]string{"1:/g": "set timeout=0\nset fallback=0\nmenuentry a { set " +
				"fallback=0; }"}}, File{1, "/g"}, nil, ErrLimit},
		{"names of searches without end",
			&fakeFiles{files: map[string]string{"1:/g": "while true; do set a=b$a; search --label nosuch --set $a; " +
				"done"}}, File{1, "/g"}, nil, ErrLimit},
		{"large files without end",
			&fakeFiles{files: map[string]string{"1:/g": "while true; do source /h; done",
				"1:/h": strings.Repeat("#", 4<<20)}}, File{1, "/g"}, nil, ErrLimit},
		{"large words without end",
			&fakeFiles{files: map[string]string{"1:/g": "set a=" + strings.Repeat("a", 60000) +
				"\nwhile true; do echo $a; done"}}, File{1, "/g"}, nil, ErrLimit},
		{"a menu that grows", &fakeFiles{files: map[string]string{"1:/g": "set a=" + strings.Repeat("a", 60000) +
			"\nwhile true; do menuentry $a { true; }; done"}}, File{1, "/g"}, nil, ErrLimit},
		{"a variable that grows",
			&fakeFiles{files: map[string]string{"1:/g": "set a=xxxxxxxx\nwhile true; do set a=$a$a; done"}},
			File{1, "/g"}, nil, ErrLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Default(tt.files, Options{Device: tt.at.Device, Path: tt.at.Path, UEFI: true})
			if tt.err == nil && err != nil || !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestShell runs scripts that leave their result in $r; the cases are sentences of the GRUB manual on quoting and
// commands.
func TestShell(t *testing.T) {
	files := &fakeFiles{files: map[string]string{"1:/f": "x", "1:/d/e": "",
		"1:/s": "set r=sourced; return; set r=$r.on"}}
	tests := []struct{ name, script, want string }{
		{"single quotes", `set r='a $b "c" \d'`, `a $b "c" \d`},
		{"double quotes", `set b=1; set r="a $b 'c' \$d \" \\ \e"`, `a 1 'c' $d " \ \e`},
		{"backslash", `set r=a\ b\$c`, `a b$c`},
		{"braces of variables", `set b=1; set r=${b}2$b$nothing.`, `121.`},
		{"line goes on", "set r=a\\\nb", `ab`},
		{"unquoted variable is cut", `set v="a  b"; for x in $v; do set r=$r.$x; done`, `.a.b`},
		{"quoted variable is not", `set v="a  b"; for x in "$v" ""; do set r="$r.$x"; done`, `.a  b.`},
		{"if elif else", `if false; then set r=1; elif [ a = b ]; then set r=2; else set r=3; fi`, `3`},
		{"not", `if ! false; then set r=1; fi`, `1`},
		{"numbers", `if [ 10 -gt 9 -a 010 -eq 8 ]; then set r=1; fi`, `1`},
		{"strings", `if [ 10 '>' 9 ]; then set r=1; else set r=2; fi`, `2`},
		{"or and parentheses", `if [ ( a = b -o -n x ) -a ! -z "" ]; then set r=2; else set r=1; fi`, `1`},
		{"files", `if [ -f /f -a -d /d -a -s /f -a ! -e /g -a -e /d ]; then set r=1; fi`, `1`},
		{"until", `set n=; until [ x$n = xaaa ]; do set n=a$n; done; set r=$n`, `aaa`},
		{"function arguments", `function f { set r="$# $1 $2 $*"; }; f a "b c"`, `2 a b c a b c`},
		{"function returns", `function f { set r=1; return; set r=2; }; f`, `1`},
		{"a file does not return", `source /s`, `sourced.on`},
		{"status", `false; set r=$?`, `1`},
		{"name=value without set", `r=1`, `1`},
		{"comment", "set r=1 # set r=2\n#set r=3", `1`},
		{"hash in a word", `set r=a#b`, `a#b`},
		{"search for a file", `search --file --set=r /d/e`, `hd0,msdos1`},
		{"search fails", `set r=old; search --fs-uuid --set=r nope`, `old`},
		{"eval", `set c='set r=1'; eval $c`, `1`},
		{"translated text", `b=1; set r=a$"Boot it $b \"x"c`, `aBoot it 1 "xc`},
		{"a variable without a name", `function f { increment ""; set r=1; }; increment ""; f`, `1`},
		{"brace on its own line", "function f\n{\nset r=1\n}\nf", `1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := parse(tt.script, newMeter(time.Now))
			if err != nil {
				t.Fatal(err)
			}
			s := newShell(files, Options{})
			if err := s.set("root", "hd0,1"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.runText(l); err != nil {
				t.Fatal(err)
			}
			if got := s.get("r"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSyntaxLikeGRUB has GRUB's own parser judge scripts, and takes the ones that it takes.
func TestSyntaxLikeGRUB(t *testing.T) {
	check := need.Tool(t, "grub-script-check")
	for _, script := range []string{
		"if true; then", "fi", "if true; fi", `echo $"Boot it"`, `menuentry $"a $b" { true; }`, `echo $"a`, `echo "$"`,
		"for in x; do done", "function {", "menuentry x {", "}", "set a='", `set a="`,
		"while true; done", "for x in a b; set y; done", "if true; then echo a; fi", "echo a b", "echo {a b}",
		"echo a{b", "echo a > b", "a | b",
		"a & b", "echo $", `echo "$"`, "echo ${a", "echo ${a.b}", "echo ${1} $1 $@ $* $# $?", "function f { echo a; }",
		"function f\n{\necho a\n}",
		"if true; then function f { echo a; }; fi", "for x in a b; do echo $x; done", "for x in a b\ndo\necho $x\ndone",
		"while true; do break; done",
		"menuentry 'a' --id b {\n linux /k\n}", "submenu a { menuentry b { true; } }",
		"if [ a = b ]\nthen\necho a\nelif true\nthen\necho b\nelse\necho c\nfi",
		"echo a\\\nb", "# only this", "", "echo a;", "menuentry a { }", "function f { }", "if true; then fi",
		"echo if then else", "until false; do echo; done",
		"for x in; do echo; done", "! true", "[ a ]", "a=b", "echo 'a\nb' \"c\nd\"", "for x in a b; do done",
		"echo a } b",
	} {
		cmd := exec.Command(check)
		cmd.Stdin = strings.NewReader("true\n" + script + "\n") // it refuses a script without a command
		judge := cmd.Run()
		if _, err := parse(script, newMeter(time.Now)); (err == nil) != (judge == nil) {
			t.Errorf("%q: GRUB says %v, we say %v", script, judge, err)
		}
	}
	if _, err := parse(strings.Repeat("if ", 500), newMeter(time.Now)); !errors.Is(err, ErrLimit) {
		t.Errorf("500 times if: %v", err)
	}
}

func TestDevices(t *testing.T) {
	files := &fakeFiles{made: []Made{{Device: -3, Names: []string{"lvm/vg-root", "lvmid/v/r"}},
		{Device: 2, Names: []string{"md/boot"}}}}
	for name, want := range map[string]int{
		"lvm/vg-root": -3, "(lvmid/v/r)": -3, "md/boot": 2, "lvm/vg": -1,
		"hd0": 0, "(hd0,gpt2)": 2, "hd0,msdos5": 5, "hd1,msdos5": -1, "hd0,3": 3, "ahci0,gpt7": -1,
		"hd0,msdos2,bsd1": -1, "hd0,bsd2": -1, "hd0,part2": -1,
		"hd00,2": -1, "hd0,0x2": 2, "hd0,02": 2, "hd0,2x": -1, "hd0,msdos0": -1,
		"lvmid/a/b": -1, "cryptouuid/1": -1, "memdisk": -1, "hd0,x": -1, "": -1,
	} {
		got, err := Device(files, name, "")
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: partition %d, want %d (%v)", name, got, want, err)
		}
	}
}

func TestHasVariables(t *testing.T) {
	for value, want := range map[string]bool{
		"root=/dev/sda1 ro": false, "$kernelopts ro": true, "ro $tuned_params": true, "cost=$5": false, "a$": false,
		"": false,
	} {
		if got := HasVariables(value); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestLayers: a device of RAID, LVM or encryption is not there where no partition belongs to one, and not known where
// one does.
func TestLayers(t *testing.T) {
	for dev, layer := range map[string]Layer{
		"md/md-boot": MD, "mduuid/1234": MD, "lvm/vg-root": LVM, "lvmid/a/b": LVM, "crypto0": Crypto,
		"cryptouuid/1234": Crypto,
	} {
		config := fmt.Sprintf("set timeout=0\nif [ -e (%s) -o -d (%s)/grub2 ]; then set a=1; fi\nsource "+
			"(%s)/f\nload_env -f (%s)/e\nmenuentry a { linux /k; }", dev, dev, dev, dev)
		files := &fakeFiles{files: map[string]string{"1:/g": config, "1:/k": "k"}}
		if e, err := Default(files, Options{Device: 1, Path: "/g"}); err != nil || e.Kernel != (File{1, "/k"}) {
			t.Errorf("%s, no member: %v, %v", dev, e, err)
		}
		files.holds = layer
		var restart *Restart
		if _, err := Default(files, Options{Device: 1, Path: "/g"}); !errors.As(err, &restart) ||
			!strings.Contains(err.Error(), "("+dev+")") {
			t.Errorf("%s, a member: %v", dev, err)
		}
	}
}

// TestReadKeys: what Red Hat's blscfg takes of an entry's file.
func TestReadKeys(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       map[string][]string
		err        string
	}{
		{"blanks before keys", " title a\n\tlinux /k\n", map[string][]string{"title": {"a"}, "linux": {"/k"}}, ""},
		{"remarks", "# a b\n # a\nlinux /k\n", map[string][]string{"linux": {"/k"}}, ""},
		{"an empty line ends it", "title a\n\nlinux /k\n", map[string][]string{"title": {"a"}}, ""},
		{"a key without value ends it", "title a\noptions\nlinux /k\n", map[string][]string{"title": {"a"}}, ""},
		{"a key with one blank ends it", "title a\noptions \nlinux /k\n", map[string][]string{"title": {"a"}}, ""},
		{"carriage returns", "title a\r\nlinux /k\r\n", map[string][]string{"title": {"a"}, "linux": {"/k"}}, ""},
		{"a tab", "linux\t/k\n", map[string][]string{"linux": {"/k"}}, ""},
		{"two blanks alone", "options  \nlinux /k\n", nil, "end the entry for some GRUBs only"},
		{"a tab and blanks", "options\troot=a ro\n", nil, "differ in where it ends"},
	} {
		got, err := readKeys(tt.text)
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || tt.err == "" && err != nil {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, diff)
		}
	}
}

// TestOnlyGRUBKnows: what only GRUB has a value for decides nothing here.
func TestOnlyGRUBKnows(t *testing.T) {
	const menu = "\nset timeout=0\nmenuentry a { linux /a; }\nmenuentry b { linux /a b; }\nblscfg"
	for _, tt := range []struct{ config, want string }{
		{"insmod datehook\nif [ $HOUR -ge 8 ]; then default=1; fi", "$HOUR"},
		{"HOUR=9\ninsmod datehook\nif [ $HOUR -ge 8 ]; then default=1; fi", "$HOUR"},
		{"default=$WEEKDAY", "$WEEKDAY"},
		{`if [ "$lockdown" = y ]; then default=1; fi`, "$lockdown"},
		{`if [ "$shim_lock" = y ]; then default=1; fi`, "$shim_lock"},
		{"for i in $net_default_ip; do default=1; done", "$net_default_ip"},
		{`! [ "$pxe_default_server" ]`, "$pxe_default_server"},
		{"$efi_start", "$efi_start"},
		{"boot=hd0,1\nblsdir=/bls", "$net_default_mac"},
		{"lang=de\nmenuentry $\"Boot it\" { linux /a; }", "into de"},
		{"echo $HOUR $net_default_ip", ""},
		{"HOUR=9\nif [ $HOUR = 8 ]; then default=1; fi", ""},
		{"menuentry $\"Boot it\" { linux /a; }", ""},
	} {
		files := &fakeFiles{files: map[string]string{"1:/g": tt.config + menu, "1:/a": "a",
			"1:/bls/x.conf": "linux /a\noptions ip=$net_default_mac\n"}}
		e, err := Default(files, Options{Device: 1, Path: "/g"})
		var restart *Restart
		if tt.want == "" && (err != nil || e.Args != "BOOT_IMAGE=/a") {
			t.Errorf("%s: %v, %v", tt.config, e, err)
		}
		if tt.want != "" && (!errors.As(err, &restart) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, %v, want a restart for %s", tt.config, e, err, tt.want)
		}
	}
}

func FuzzDefault(f *testing.F) {
	f.Add([]byte(debianLike))
	f.Add([]byte(esp))
	f.Add([]byte("menuentry a { linux (hd0,gpt1)/k a\"b c\"d; initrd /i }\nsubmenu x { }\nset default='1>2'\nblscfg\n"))
	f.Add([]byte("cryptomount -u abcd\nsearch --set=root --file /k\nset timeout=1\nmenuentry a { linux /k; }\n"))
	f.Add([]byte("set root=cryptouuid/abcd\ncryptomount -a\nset timeout=1\nmenuentry a { linux (crypto0)/k; }\n"))
	f.Fuzz(func(t *testing.T, config []byte) {
		files := &fakeFiles{files: map[string]string{"1:/g": string(config), "1:/loader/entries/a.conf": string(config),
			"1:/grubenv": envMagic + string(config), "-1:/k": "k"}, holds: Crypto,
			made:   []Made{{Device: -1, Names: []string{"cryptouuid/abcd"}, Crypt: "abcd"}},
			crypts: []Encrypted{{UUID: "abcd", Device: 2}}}
		e, err := Default(files, Options{Device: 1, Path: "/g"})
		if err == nil && e.Kernel.Path == "" {
			t.Error("an entry without a kernel")
		}
		if err == nil && e.Kernel.Device < 0 && len(e.Opened) == 0 {
			t.Error("a kernel in a volume that nothing opened")
		}
	})
}

// TestOpened: what is in a volume is there from cryptomount on, by each of its names.
func TestOpened(t *testing.T) {
	const menu = "set timeout=1\nmenuentry a { linux (%s)/k; }\n"
	for _, tt := range []struct {
		config, name string
		opened       bool
	}{
		{"cryptomount -u abcd\n", "crypto0", true},
		{"cryptomount -u ABCD\n", "cryptouuid/abcd", true},
		{"cryptomount -a\ncryptomount -a\n", "crypto0", true},
		{"cryptomount (hd0,gpt2)\n", "crypto0", true},
		{"cryptomount hd0,gpt3\n", "crypto0", false},
		{"cryptomount -u ab-cd\n", "crypto0", false},
		{"cryptomount -p words -u abcd\n", "crypto0", false},
		{"cryptomount\n", "crypto0", false},
		{"", "crypto0", false},
		{"", "cryptouuid/abcd", false},
		{"if [ -e (cryptouuid/abcd)/k ]; then cryptomount -a; fi\n", "crypto0", false},
	} {
		files := &fakeFiles{files: map[string]string{"1:/g": tt.config + fmt.Sprintf(menu, tt.name), "-1:/k": "k"},
			made:   []Made{{Device: -1, Names: []string{"cryptouuid/abcd"}, Crypt: "abcd"}},
			crypts: []Encrypted{{UUID: "abcd", Device: 2}}, holds: Crypto}
		e, err := Default(files, Options{Device: 1, Path: "/g", UEFI: true})
		if opened := err == nil && e.Kernel.Device == -1 && len(e.Opened) == 1; opened != tt.opened {
			t.Errorf("%s with %s: %v, %v", tt.config, tt.name, e, err)
		}
	}
}
