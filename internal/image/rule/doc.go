// Package rule holds images to the rule at the head of docs/volume.md: an image leaves out a byte only if a file system
// that was recognised beyond doubt, in a place that a sound table names, itself calls it free.
//
// It is a test and nothing else. It makes disks by chance, out of file systems that other programs made, captures them,
// restores them onto random bytes, and asks those programs' own tools which of the bytes that differ are free:
//
//	go test ./internal/image/rule -seeds 2000       more disks
//	go test ./internal/image/rule -seed 17          that one again, and what is on it
package rule
