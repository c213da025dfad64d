// Package kernel finds a Linux kernel and its modules: in packages of Debian, RPM, Arch or Alpine, or in the folders of
// an installed system.
package kernel

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/pack"
	"github.com/diskcast/diskcast/mkimage/scratch"
)

// Options name the inputs.
type Options struct {
	Kernel string // a vmlinuz, or a package with one
	// folders /lib/modules/RELEASE, or packages with one; empty: the package of the kernel, or /lib/modules
	Modules  []string
	Firmware []string // folders like /lib/firmware, or packages with one
}

// Check tells at once which input is not there. A name without a folder may have been meant for a package that apt
// knows.
func (o Options) Check() error {
	for _, in := range []struct {
		flag  string
		files []string
	}{{"--kernel", []string{o.Kernel}}, {"--modules-from", o.Modules}, {"--firmware", o.Firmware}} {
		for _, name := range in.files {
			st, err := os.Stat(name)
			switch {
			case err == nil && in.flag == "--kernel" && st.IsDir():
				return fmt.Errorf("--kernel %s is a folder: name the kernel in it (vmlinuz-RELEASE), or a package",
					name)
			case err == nil && !st.IsDir():
				f, err := pack.Open(name)
				if err != nil {
					return fmt.Errorf("%s: %w", in.flag, err)
				}
				f.Close()
			case errors.Is(err, fs.ErrNotExist) && packageName.MatchString(name):
				return fmt.Errorf("%s %s: there is no file of this name here; if it is a package: apt-get download "+
					"%s, and give the file that this makes", in.flag, name, name)
			case err != nil:
				return fmt.Errorf("%s %s: %w", in.flag, name, errors.Unwrap(err))
			}
		}
	}
	return nil
}

// packageName is what Debian's packages are called (policy 5.6.1), with a dash as all have that are wanted here, and
// not the file of one.
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9.+]*-[a-z0-9.+-]*[a-z0-9]$`)

// Kernel is a kernel that was found.
type Kernel struct {
	Release  string // as uname -r says it
	Arch     bootdir.Arch
	Quick    ramfs.Packing // of the archives that it unpacks by its configuration, the quickest
	Small    ramfs.Packing // and the one that makes them smallest
	Modules  []fs.FS       // folders of the release; a module is looked for in each
	Firmware []fs.FS       // folders of firmware
	// Sources are the packages among the inputs.
	Sources []bootdir.Source

	vmlinuz []byte
	temp    *scratch.Dir
	roots   []*os.Root
}

// maxVmlinuz bounds a kernel image, in bytes. Debian's have 8 to 12 MB.
const maxVmlinuz = 512 << 20

// Open finds the kernel and its modules; OpenFirmware adds firmware. Packages are unpacked into a temporary folder that
// Close removes.
func Open(o Options) (*Kernel, error) {
	temp, err := scratch.Make("", "mkimage-kernel-")
	if err != nil {
		return nil, err
	}
	k := &Kernel{temp: temp}
	if err := k.open(o); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func (k *Kernel) open(o Options) error {
	modules, err := k.openKernel(o)
	if err != nil {
		return err
	}
	for _, from := range modules {
		found := len(k.Modules)
		if err := k.openModules(from); err != nil {
			return err
		}
		// The kernel's own package may have none, where a distribution puts them into others.
		if len(k.Modules) == found && slices.Contains(o.Modules, from) && from != o.Kernel {
			return fmt.Errorf("--modules-from %s: no modules of Linux %s in the package, which that kernel wants: "+
				"name the package of modules of the same release, or leave it out", from, k.Release)
		}
	}
	return nil
}

// OpenFirmware adds the folders of firmware. It comes by itself, for packages of firmware are large, and what is wrong
// with the choice of modules is known before.
func (k *Kernel) OpenFirmware(o Options) error {
	for _, from := range o.Firmware {
		if err := k.openFirmware(from); err != nil {
			return err
		}
	}
	return nil
}

// Close removes the temporary folder.
func (k *Kernel) Close() error {
	errs := []error{}
	for _, r := range k.roots {
		errs = append(errs, r.Close())
	}
	return errors.Join(append(errs, k.temp.Remove())...)
}

// Vmlinuz is the kernel image.
func (k *Kernel) Vmlinuz() []byte { return k.vmlinuz }

// openKernel reads the kernel image and returns where its modules are.
func (k *Kernel) openKernel(o Options) (modules []string, err error) {
	isPack, err := isPackage(o.Kernel)
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	if !isPack {
		if err := k.readVmlinuz(os.DirFS(filepath.Dir(o.Kernel)), filepath.Base(o.Kernel), o.Kernel); err != nil {
			return nil, err
		}
		if len(o.Modules) > 0 {
			return o.Modules, nil
		}
		installed := filepath.Join("/lib/modules", k.Release)
		if _, err := os.Stat(installed); err != nil {
			return nil, fmt.Errorf("no modules for kernel %s: %w; name their folder or package with --modules-from",
				k.Release, err)
		}
		return []string{installed}, nil
	}
	root, err := k.unpack(o.Kernel, "kernel")
	if err != nil {
		return nil, err
	}
	images, err := imagesIn(root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Kernel, err)
	}
	if len(images) == 0 {
		return nil, noKernel(o.Kernel)
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%s: %d kernels in the package instead of one: %s", o.Kernel, len(images),
			strings.Join(images, " "))
	}
	if err := k.readVmlinuz(root, images[0], o.Kernel); err != nil {
		return nil, err
	}
	modules = []string{o.Kernel}
	for _, from := range o.Modules {
		if !sameFile(from, o.Kernel) {
			modules = append(modules, from)
		}
	}
	return modules, nil
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// imagePlaces are where packages have the kernel: Debian and SUSE in /boot, Alpine there without a release in the name,
// Fedora and Arch beside the modules. For 64-bit ARM, Arch and SUSE call it Image.
var imagePlaces = []string{"boot/vmlinu[xz]-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz", "boot/Image",
	"boot/Image-*", "lib/modules/*/Image", "usr/lib/modules/*/Image"}

// packedPlaces are where the same kernel may be once more, compressed; it counts where there is no other.
var packedPlaces = []string{"boot/Image.gz", "boot/Image.gz-*"}

// imagesIn lists the kernels of a package. Where one is a link to another, or a copy, it is one.
func imagesIn(root fs.FS) ([]string, error) {
	images, err := imagesAt(root, imagePlaces)
	if err != nil || len(images) > 0 {
		return images, err
	}
	return imagesAt(root, packedPlaces)
}

func imagesAt(root fs.FS, places []string) ([]string, error) {
	var images []string
	seen := map[[32]byte]bool{}
	for _, place := range places {
		names, err := fs.Glob(root, place)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			sum, err := sumOf(root, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a link to what is in another package
			}
			if err != nil {
				return nil, err
			}
			if !seen[sum] {
				images = append(images, name)
			}
			seen[sum] = true
		}
	}
	return images, nil
}

func sumOf(root fs.FS, name string) (sum [32]byte, err error) {
	f, err := root.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxVmlinuz+1)); err != nil {
		return sum, err
	}
	return [32]byte(h.Sum(nil)), nil
}

// fetch is how a package is fetched without being installed, by its format.
var fetch = map[string]string{pack.Deb: "apt-get download", pack.RPM: "dnf download", pack.Arch: "pacman -Sw",
	pack.APK: "apk fetch"}

// noKernel says what to do with a package that holds no kernel: most often it only names, in its dependencies, the one
// that does.
func noKernel(name string) error {
	f, err := pack.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := pack.Read(f, nil)
	if err != nil || info.Name == "" {
		return fmt.Errorf("%s: no kernel (boot/vmlinuz-*) in the package", name)
	}
	if real := realKernel(info); real != "" {
		return fmt.Errorf("%s: no kernel in it; the package only names the real one: %s %s, and give that to "+
			"--kernel%s", name, fetch[info.Format], real, alsoModules(info.Format))
	}
	want := map[string]string{pack.Deb: "linux-image-RELEASE", pack.RPM: "kernel-core", pack.Arch: "linux or linux-lts",
		pack.APK: "linux-lts or linux-virt"}
	return fmt.Errorf("%s: no kernel (boot/vmlinuz-*) in the package %s; --kernel wants %s", name, info.Name,
		want[info.Format])
}

// alsoModules is what else must be given where a kernel's modules are in packages of their own.
func alsoModules(format string) string {
	if format != pack.RPM {
		return ""
	}
	return ", and kernel-modules-core and kernel-modules of the same release to --modules-from"
}

// realKernel is the package that a package without a kernel stands for, by what it needs; empty for none. Fedora's
// "kernel" needs kernel-core-uname-r, which is no package but what kernel-core provides.
func realKernel(info *pack.Info) string {
	for _, d := range info.Depends {
		d = strings.TrimSuffix(d, "-uname-r")
		switch {
		case d == info.Name:
		case info.Format == pack.Deb && strings.HasPrefix(d, "linux-image-"),
			info.Format == pack.RPM && (strings.HasPrefix(d, "kernel-") && strings.HasSuffix(d, "-core") &&
				!strings.Contains(d, "modules") || d == "kernel-default"),
			(info.Format == pack.Arch || info.Format == pack.APK) && kernelPackage.MatchString(d):
			return d
		}
	}
	return ""
}

// kernelPackage is what Arch and Alpine call their kernels.
var kernelPackage = regexp.MustCompile(`^linux(-(lts|virt|stable|edge|hardened|zen|rt|rt-lts|asahi|rpi|aarch64))?$`)

func (k *Kernel) readVmlinuz(dir fs.FS, name, from string) error {
	f, err := dir.Open(name)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxVmlinuz+1))
	if err != nil {
		return fmt.Errorf("kernel %s: %w", from, err)
	}
	if len(data) > maxVmlinuz {
		return fmt.Errorf("kernel %s: more than %d bytes", from, maxVmlinuz)
	}
	if data, err = plainImage(data); err != nil {
		return fmt.Errorf("kernel %s: %w", from, err)
	}
	arch, release, err := Read(data)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", from, err)
	}
	k.vmlinuz, k.Arch, k.Release = data, arch, release
	k.Quick, k.Small = packings(dir, name, release)
	return nil
}

// openModules adds the modules of the kernel's release from a folder or a package.
func (k *Kernel) openModules(from string) error {
	isPack, err := isPackage(from)
	if err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	if !isPack {
		if _, err := os.Stat(filepath.Join(from, "kernel")); err != nil {
			return fmt.Errorf("modules: %s is not a folder /lib/modules/RELEASE: %w", from, err)
		}
		return k.addRoot(&k.Modules, from)
	}
	root, err := k.unpack(from, "modules")
	if err != nil {
		return err
	}
	// Since Debian 13 /lib is a link and packages say /usr/lib.
	for _, dir := range []string{"lib/modules", "usr/lib/modules"} {
		if _, err := fs.Stat(root, path.Join(dir, k.Release)); err == nil {
			sub, err := fs.Sub(root, path.Join(dir, k.Release))
			if err != nil {
				return err
			}
			k.Modules = append(k.Modules, sub)
			return nil
		}
	}
	// Some distributions split them: a package of the image alone, the modules in others.
	return nil
}

func (k *Kernel) openFirmware(from string) error {
	isPack, err := isPackage(from)
	if err != nil {
		return fmt.Errorf("firmware: %w", err)
	}
	if !isPack {
		if st, err := os.Stat(from); err == nil && !st.IsDir() {
			return fmt.Errorf("--firmware %s is neither a folder like /lib/firmware nor a package", from)
		}
		return k.addRoot(&k.Firmware, from)
	}
	root, err := k.unpack(from, "firmware")
	if err != nil {
		return err
	}
	for _, dir := range []string{"lib/firmware", "usr/lib/firmware"} {
		if _, err := fs.Stat(root, dir); err == nil {
			sub, err := fs.Sub(root, dir)
			if err != nil {
				return err
			}
			k.Firmware = append(k.Firmware, sub)
			return nil
		}
	}
	return fmt.Errorf("firmware: %s holds no lib/firmware", from)
}

// addRoot opens a folder. Symbolic links out of it are not followed: what an archive holds must not depend on the rest
// of the system.
func (k *Kernel) addRoot(list *[]fs.FS, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	k.roots = append(k.roots, root)
	*list = append(*list, root.FS())
	return nil
}

// isPackage tells a package from everything else by its first bytes.
func isPackage(name string) (bool, error) {
	f, err := pack.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.IsDir() {
		return false, err
	}
	r := bufio.NewReader(f)
	magic, err := r.Peek(pack.MagicSize)
	if err != nil {
		return false, fmt.Errorf("%s: too short to be a kernel or a package", name)
	}
	format := pack.Format(magic)
	return format != "" && (format != pack.APK || !isPackedImage(r)), nil
}

// isPackedImage tells an Image.gz, which begins like Alpine's packages, by the beginning of what is in it.
func isPackedImage(r io.Reader) bool {
	z, err := gzip.NewReader(r)
	if err != nil {
		return false
	}
	head := make([]byte, arm64Magic+4)
	_, err = io.ReadFull(z, head)
	return err == nil && isARM64(head)
}
