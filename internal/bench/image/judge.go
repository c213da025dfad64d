package main

import "github.com/diskcast/diskcast/internal/bench"

func (b *suite) judge() {
	zstd, zstd0 := b.report.Find("capture", checked), b.report.Find("capture", unchecked)
	def, fast, small := b.report.Find("capture", "diskcast default"), b.report.Find("capture", "diskcast fast"),
		b.report.Find("capture", "diskcast small")
	b.report.Faster("capture default, speed beside "+checked, def, zstd, 1.2)
	b.report.Faster("capture default, speed beside "+unchecked, def, zstd0, 1.2)
	b.report.Faster("capture fast, speed beside "+checked, fast, zstd, 2)
	for _, x := range []struct {
		r    *bench.Row
		want float64
	}{{def, 1.03}, {fast, 1.12}, {small, 0.92}} {
		if x.r != nil && zstd != nil {
			b.report.Share("size, "+x.r.Who+" beside "+checked, float64(x.r.Bytes), float64(zstd.Bytes), x.want)
		}
	}
	if o := b.report.Find("optimize", "diskcast"); o != nil {
		b.report.Share("size, diskcast optimized beside "+checked, float64(o.Bytes), float64(b.zstdSize), 0.85)
	}
	full := b.report.Find("restore", "diskcast")
	b.report.Faster("verified restore beside the checked partclone", full, b.report.Find("restore", checked), 3)
	b.report.Faster("verified restore beside the unchecked partclone", full, b.report.Find("restore", unchecked), 1.2)
	if d := b.report.Find("restore delta", "diskcast"); d != nil && full != nil {
		b.report.Share("delta restore, time beside a full one", d.Seconds.Median, full.Seconds.Median, 0.35)
		b.report.Share("delta restore, bytes written beside a full one", float64(d.Bytes), float64(full.Bytes), 0.06)
	}
	if again := b.report.Find("capture again", "diskcast default"); again != nil && def != nil {
		b.report.Share("second capture, new bytes", float64(again.Bytes), float64(def.Bytes), 0.07)
	}
	b.report.Memory("memory of each of our processes, with the programs that it starts", 256<<20)
}
