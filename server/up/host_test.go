package up

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/awaited"
	"golang.org/x/sys/unix"
)

// TestKilled: what up runs ends with it, also when it is killed.
func TestKilled(t *testing.T) {
	const variable, patience = "DISKCAST_TEST_RUNS_FOR", time.Minute
	if pipe := os.Getenv(variable); pipe != "" { // the program that is killed
		_, err := Real{}.Output(t.Context(), "", "sh", "-c", `echo $$ > "$1"; exec sleep 600`, "sh", pipe)
		t.Fatalf("what it ran has ended: %v", err)
	}
	name := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
	cmd.Env = append(os.Environ(), variable+"="+name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, said := 0, ""
	err = pipe.SetReadDeadline(time.Now().Add(patience))
	if err == nil {
		said, err = bufio.NewReader(pipe).ReadString('\n')
	}
	if err == nil {
		_, err = fmt.Sscan(said, &pid)
	}
	var child *awaited.Process
	if err == nil {
		child = awaited.Find(t, pid)
	}
	_ = cmd.Process.Kill() // what this test is about
	_ = cmd.Wait()         // it was killed
	if err != nil {
		t.Fatalf("what it runs said %q: %v", said, err)
	}
	child.Ends(patience)
}
