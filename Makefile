# make help lists the targets.
.DEFAULT_GOAL := build
SHELL := /bin/sh
GO ?= go

# What a program is made of. The Go tool finds out by itself what must be compiled again; these lists only decide whether it is
# asked at all.
SOURCES := $(shell find agent initramfs internal mkimage server go.mod go.sum -type f ! -name '*_test.go' ! -path '*/testdata/*' ! -name '*.gz')
NODE_SOURCES := $(shell find agent initramfs internal go.mod go.sum -type f -name '*.go' ! -name '*_test.go') go.mod go.sum
DEMO_SOURCES := $(shell find qemu-tests -type f ! -name '*_test.go')
UNIT_PACKAGES = $(shell $(GO) list ./... | grep -v /qemu-tests)
USERLAND := build/initramfs/userland.cpio.gz
USERLAND_ARM64 := build/initramfs/userland-arm64.cpio.gz

.PHONY: help build initramfs demo test check test-race test-unit test-qemu test-firmware test-idle test-menu test-crash test-boot test-cells \
	test-disks test-erase test-partition test-personal test-package test-day test-web two-packages test-volumes test-rule \
	test-media test-matrix test-arm64 size fuzz \
	bench-boot bench-cast bench-image bench-restore bench-server \
	sim-cast clean go-check arm64

help: ## what this list says
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

build: build/bin/diskcast build/bin/mkimage ## the two programs of the operator, in build/bin
.PHONY: package

# Packages bear the time of the commit, so that the same commit gives the same bytes.
package: $(USERLAND) $(USERLAND_ARM64) | go-check ## deb and rpm for amd64 and arm64, in build/packages, judged by dpkg and rpm
	@.ci/packages package
	@rm -rf build/packages
	$(GO) run ./internal/packaging -version $(VERSION) -epoch $${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} -out build/packages
	DISKCAST_PACKAGES=$(CURDIR)/build/packages $(GO) test -count=1 ./internal/packaging

initramfs: $(USERLAND) ## the node's userland: u-root's commands and the agent

arm64: $(USERLAND_ARM64) ## the same for machines of arm64, and a mkimage that has both
	@rm -f build/bin/mkimage
	@$(MAKE) build/bin/mkimage

go-check:
	@.ci/go-check

# CGO is off so that the programs run on any Linux, whatever its C library.
export CGO_ENABLED := 0
# The version is the commit; a build outside a checkout says "dev".
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo dev)
# Without the symbol table and DWARF, which no traceback and no profile wants, a program is a third smaller.
# Without HTTP/2, which the server does not speak and its clients' servers need not (docs/adr/0167).
BUILD = $(GO) build -trimpath -tags nethttpomithttp2 -ldflags "-s -w -X github.com/diskcast/diskcast/server/cmd.Version=$(VERSION) -X main.version=$(VERSION)"

$(USERLAND): $(NODE_SOURCES) | go-check
	$(GO) run ./initramfs/build -o build/initramfs/userland.cpio -embed mkimage/userland -version $(VERSION)

$(USERLAND_ARM64): $(NODE_SOURCES) | go-check
	$(GO) run ./initramfs/build -arch arm64 -o build/initramfs/userland-arm64.cpio -embed mkimage/userland -version $(VERSION)

build/bin/mkimage: $(SOURCES) $(USERLAND) | go-check
	$(BUILD) -o $@ ./mkimage
	@touch $@

build/bin/diskcast: $(SOURCES) | go-check
	$(BUILD) -o $@ ./server
	@touch $@

build/bin/demo: $(DEMO_SOURCES) $(SOURCES) | go-check
	$(BUILD) -o $@ ./qemu-tests/demo
	@touch $@

# The machines of the demo and of the tests need a network namespace and files with other owners: root.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo 'sudo -E env "PATH=$$PATH"')

demo: ## two blank virtual machines, one image, one session, to both login prompts
	@.ci/go-check
	@.ci/packages demo
	@$(MAKE) --no-print-directory build build/bin/demo
	@exec $(AS_ROOT) build/bin/demo

test: check test-race test-unit test-qemu ## the checks, unit tests, tests in network namespaces, whole machines under QEMU

test-race: | go-check ## what has goroutines, under the race detector (.ci/race says what is left out, and why)
	@.ci/packages test
	GO='$(GO)' .ci/race

# Many packages wait more than they compute: for a line of so many bits a second, a kernel in user mode, another
# program. So twice as many run at once as there are processors. `make check`, with which `make test` begins, has vetted
# all.
test-unit: build ## everything but the whole machines
	DISKCAST_KERNEL_DEB=$$(.ci/kernel-deb) $(GO) test -vet=off -p $$((2 * $$(nproc))) -timeout 20m $(UNIT_PACKAGES)

test-qemu: build build/bin/demo ## whole machines, from power-on to login
	@.ci/packages test
	$(AS_ROOT) $(GO) test -p 1 -timeout 28m ./qemu-tests/...

test-firmware: build ## whole machines by each kind of firmware, Secure Boot among them (a quarter of an hour)
	@.ci/packages firmware
	$(AS_ROOT) env DISKCAST_FIRMWARE=1 DISKCAST_GRUB="$$(.ci/deb13 grub-efi-amd64-signed)" \
		DISKCAST_IPXE="$$(.ci/deb13 ipxe)" DISKCAST_SHIM="$$(.ci/deb13 shim-unsigned)" \
		DISKCAST_KERNEL_DEB="$$(.ci/kernel-deb)" $(GO) test -count=1 -timeout 90m -v \
		-run 'TestFirmware|TestIPXEShim|TestSecureBoot|TestOwnKey|TestHTTPSBoot|TestIPv6|TestVLAN|TestUndionly' ./qemu-tests

test-media: build ## machines that start from sticks, CDs and archives that mkimage made for them (some minutes)
	@.ci/packages firmware
	$(AS_ROOT) env DISKCAST_MEDIA=1 DISKCAST_KERNEL_DEB="$$(.ci/kernel-deb)" \
		DISKCAST_USB_KERNEL="$$(.ci/kernel-deb amd64)" $(GO) test -count=1 -timeout 50m -v \
		-run 'TestMedia$$|TestMadeFor' ./qemu-tests

# ROW is a regular expression for one row or some, as bios/nvme or iso/.*usb-net. Consoles stay in build/boot.
test-matrix: build arm64 ## each way, disk bus and network card, pairwise: 92 machines restored (56 of x86 took half an hour on a quiet machine, one of arm64 takes a minute)
	@.ci/packages firmware
	@.ci/packages arm64
	$(AS_ROOT) env DISKCAST_MATRIX=1 DISKCAST_USB_KERNEL="$$(.ci/kernel-deb amd64)" \
		DISKCAST_GRUB="$$(.ci/deb13 grub-efi-amd64-signed)" DISKCAST_IPXE="$$(.ci/deb13 ipxe)" \
		DISKCAST_SHIM="$$(.ci/deb13 shim-unsigned)" DISKCAST_KERNEL_ARM64="$$(.ci/deb13 linux-image-arm64 arm64)" \
		DISKCAST_SHIM_ARM64="$$(.ci/deb13 shim-signed arm64)" \
		DISKCAST_GRUB_ARM64="$$(.ci/deb13 grub-efi-arm64-signed arm64)" \
		DISKCAST_STUB_ARM64="$$(.ci/deb13 systemd-boot-efi arm64)" DISKCAST_NEWER_QEMU="$$(.ci/qemu-backports)" \
		$(GO) test -count=1 -timeout 5h -v -run 'TestMatrix/$(ROW)' ./qemu-tests

test-arm64: build arm64 ## a machine of 64-bit ARM, from power-on to the login of a restored Debian, and one from stick and CD (half an hour)
	@.ci/packages arm64
	@$(AS_ROOT) .ci/binfmt-arm64
	$(AS_ROOT) env DISKCAST_ARM64=1 DISKCAST_KERNEL_DEB="$$(.ci/kernel-deb)" \
		DISKCAST_KERNEL_ARM64="$$(.ci/deb13 linux-image-cloud-arm64 arm64)" \
		DISKCAST_STUB_ARM64="$$(.ci/deb13 systemd-boot-efi arm64)" $(GO) test -count=1 -timeout 60m -v -run 'TestARM64|TestMediaARM64' ./qemu-tests

test-idle: build ## whole machines of which nothing is asked: the seconds to their own disk, printed (an hour on a busy machine)
	@.ci/packages firmware
	$(AS_ROOT) env DISKCAST_IDLE=1 DISKCAST_GRUB="$$(.ci/deb13 grub-efi-amd64-signed)" $(GO) test -count=1 -timeout 70m -v -run TestIdle ./qemu-tests

test-menu: build ## somebody at a console: rescue, an image, own disk, Memtest86+ by each kind of firmware (a quarter of an hour)
	@.ci/packages firmware
	$(AS_ROOT) env DISKCAST_MENU=1 DISKCAST_MEMTEST="$$(.ci/deb13 memtest86+)" DISKCAST_GRUB="$$(.ci/deb13 grub-efi-amd64-signed)" $(GO) test -count=1 -timeout 80m -v -run TestMenu ./qemu-tests

test-crash: build ## a kernel that panics and an agent that hangs: last words, watchdog (ten minutes)
	@.ci/packages test
	$(AS_ROOT) env DISKCAST_CRASH=1 $(GO) test -count=1 -timeout 40m -v -run TestCrash ./qemu-tests

test-boot: build ## whole machines, a kind of boot loader each: imaged, switched off and on again (an hour)
	@.ci/packages boot
	$(AS_ROOT) env DISKCAST_BOOT=1 $(GO) test -count=1 -timeout 2h -v -p 1 -run TestBoot ./qemu-tests/osimage ./qemu-tests

# CELL is a regular expression for one machine or some, as uki/md or grub-.*/xfs. Consoles stay in build/boot.
test-cells: build ## whole machines, each loader from each kind of root: imaged, switched off and on again (two hours on a busy machine)
	@.ci/packages boot
	$(AS_ROOT) env DISKCAST_CELLS=1 $(GO) test -count=1 -timeout 6h -v -p 1 -run 'Test(Boot)?Cells/$(CELL)' ./qemu-tests/osimage ./qemu-tests

test-disks: build ## whole machines whose disks change their names, come late, or are two in one session (20 minutes)
	@.ci/packages test
	@.ci/packages firmware
	$(AS_ROOT) env DISKCAST_DISKS=1 DISKCAST_USB_KERNEL="$$(.ci/kernel-deb amd64)" $(GO) test -count=1 -timeout 50m -v -run 'TestSwappedNames|TestStick|TestTwoDisks' ./qemu-tests

test-erase: build ## a machine that erases emulated ATA and NVMe disks; their files on the host are looked at (some minutes)
	@.ci/packages test
	$(AS_ROOT) env DISKCAST_ERASE=1 DISKCAST_ERASE_KERNEL="$$(.ci/kernel-deb amd64)" $(GO) test -count=1 -timeout 20m -v -run TestErase ./qemu-tests

test-partition: build ## three machines of whose disks one partition is restored by one cast; GRUB starts it (some minutes)
	@.ci/packages boot
	$(AS_ROOT) env DISKCAST_PARTITION=1 $(GO) test -count=1 -timeout 30m -v -run TestPartition ./qemu-tests

test-personal: build ## a Debian restored and made a machine's own, on a partition and on LVM, asked by SSH who it is; ntfs3 (half an hour)
	@.ci/packages personal
	$(AS_ROOT) env DISKCAST_PERSONAL=1 DISKCAST_NTFS3_KERNEL="$$(.ci/deb13 linux-image-cloud-amd64)" $(GO) test -count=1 -timeout 70m -v -run TestPersonal ./qemu-tests

# Two packages of one tree: the second is newer by a second, and is what the first is upgraded to.
TWO_PACKAGES := build/test-package
two-packages: build
	@.ci/packages machine
	@rm -rf $(TWO_PACKAGES)
	@epoch=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}; for n in 1 2; do \
		$(GO) run ./internal/packaging -version $(VERSION).$$n -epoch $$((epoch + n)) -arch amd64 -format deb \
			-out $(TWO_PACKAGES)/$$n || exit 1; done

test-package: two-packages ## a Debian with systemd from blank to server by the package, killed and upgraded (some minutes)
	$(AS_ROOT) env DISKCAST_PACKAGE=$(CURDIR)/$(TWO_PACKAGES) $(GO) test -count=1 -timeout 40m -v -p 1 \
		-run 'TestServerImage|TestInstalled' ./qemu-tests/osimage ./qemu-tests

test-day: two-packages ## an operator's day: a blank Debian and two blank machines, three commands, two logins (some minutes)
	$(AS_ROOT) env DISKCAST_DAY=$(CURDIR)/$(TWO_PACKAGES) $(GO) test -count=1 -timeout 60m -v -p 1 \
		-run 'TestGoldenImage|TestDay' ./qemu-tests/osimage ./qemu-tests

test-web: build/bin/diskcast build/bin/agent ## an operator's day in a browser, judged by axe-core; screenshots in build/screens (some minutes)
	@.ci/packages web
	@mkdir -p build/screens
	@axe=$$(.ci/axe) && $(AS_ROOT) env DISKCAST_WEB=1 DISKCAST_AXE=$$axe DISKCAST_SCREENS=$(CURDIR)/build/screens \
		DISKCAST_BIN=$(CURDIR)/build/bin $(GO) test -count=1 -p 1 -timeout 30m -v \
		-run 'TestDay|TestManyMachines|TestTab|TestWebDay' ./server/page ./server

test-volumes: | go-check ## every file system: made, filled, copied by its map, judged by its own checker
	@.ci/packages test
	$(AS_ROOT) env CI=true $(GO) test -count=1 -timeout 20m ./internal/volume/...

check: | go-check ## gofmt, go vet, staticcheck, errcheck, deadcode, who may import whom, lines of 120 columns
	@out=$$(gofmt -l agent initramfs internal mkimage server qemu-tests); [ -z "$$out" ] || { echo "gofmt -w: $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) tool errcheck -ignoretests -exclude .ci/errcheck ./...
	@echo "$(GO) tool deadcode -test ./..."; out=$$($(GO) tool deadcode -test ./...) || exit 1; [ -z "$$out" ] || { echo "nobody calls:"; echo "$$out"; exit 1; }
	$(GO) test ./internal/arrows

# Disks made by chance in `make test-rule`; SEED=N makes that one again.
SEEDS ?= 2000

test-rule: | go-check ## an image leaves out only what a file system calls free: 2,000 disks made by chance (some minutes)
	@.ci/packages test
	$(AS_ROOT) env CI=true $(GO) test -count=1 -timeout 60m -v -run TestRule ./internal/image/rule $(if $(SEED),-seed $(SEED),-seeds $(SEEDS))

# Bytes that the server's program may have, in packages and in build/bin alike.
SERVER_BAR := 32000000

size: $(USERLAND) build/bin/diskcast ## what the initramfs holds, and how large it and the server are; fails over their bars
	$(GO) run ./initramfs/size
	@n=$$(wc -c <build/bin/diskcast) && echo "build/bin/diskcast: $$n bytes of $(SERVER_BAR)" && \
		[ $$n -le $(SERVER_BAR) ] || { echo "the server is over its bar: \`go tool nm -size -sort size\` of a build without -s -w shows what is large"; exit 1; }

fuzz: | go-check ## every fuzz target for FUZZTIME (60s)
	@GO='$(GO)' FUZZTIME='$(or $(FUZZTIME),60s)' .ci/fuzz

bench-cast: | go-check ## one sender, two receivers, beside udpcast in the same run
	@.ci/packages test
	$(AS_ROOT) $(GO) run ./internal/bench/cast

sim-cast: | go-check ## the same protocol code with 1 to 10,000 receivers on a virtual clock
	$(GO) run ./internal/bench/simcast

bench-image: | go-check ## capture and restore, beside partclone with zstd and pigz in the same run
	@.ci/packages test
	$(AS_ROOT) $(GO) run ./internal/bench/image

build/bin/agent: $(NODE_SOURCES) | go-check
	$(BUILD) -o $@ ./agent
	@touch $@

bench-restore: build/bin/diskcast build/bin/agent ## server to disks at 1 Gbit, beside udpcast with partclone in the same run
	@.ci/packages test
	$(AS_ROOT) $(GO) run ./internal/bench/restore

bench-server: build/bin/diskcast ## 5,000 machines of software that ask and report, 50 watchers, DHCP, a start (two minutes)
	@.ci/packages test
	$(AS_ROOT) $(GO) run ./internal/bench/server

bench-boot: build ## power-on to the agent's hello by each way, the share of each step, bytes; own disk (a quarter of an hour)
	@.ci/packages firmware
	$(AS_ROOT) env DISKCAST_BENCH_BOOT=1 DISKCAST_USB_KERNEL="$$(.ci/kernel-deb amd64)" \
		DISKCAST_KERNEL_DEB="$$(.ci/kernel-deb)" $(GO) test -count=1 -timeout 90m -v -run TestBenchBoot ./qemu-tests

clean: ## build/ without the cache of downloaded and made images; CACHE=1 clears that too
	@for d in build/*; do [ "$$d" = build/cache ] && [ -z "$(CACHE)" ] || rm -rf "$$d"; done
	rm -f mkimage/userland/userland*.cpio.gz
