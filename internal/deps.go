//go:build deps

// Package internal pins, until their first real importer is there, the modules that the design chose.
package internal

import (
	_ "github.com/cavaliercoder/go-cpio"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/hugelgupf/vmtest/qemu"
	_ "github.com/insomniacslk/dhcp/dhcpv4"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/klauspost/pgzip"
	_ "github.com/klauspost/reedsolomon"
	_ "github.com/opencontainers/image-spec/specs-go/v1"
	_ "github.com/pin/tftp/v3"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/spf13/cobra"
	_ "github.com/u-root/mkuimage/uimage"
	_ "github.com/u-root/u-root/pkg/boot"
	_ "github.com/vbauerster/mpb/v8"
	_ "github.com/vishvananda/netlink"
	_ "github.com/zeebo/blake3"
	_ "github.com/diskfs/go-diskfs/partition/gpt"
	_ "go.etcd.io/bbolt"
	_ "golang.org/x/net/ipv4"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
)
