// headrace-entry runs commands of Headrace in a container of which Headrace knows nothing but that it is Linux.
//
// In a pod the container of a user's image runs `headrace-entry serve SOCKET`. The worker, in a container of its own
// in the same pod, runs `headrace-entry run SOCKET ... -- PROGRAM ARGUMENTS` for each command: a client like those of
// podman and docker. The two meet at a unix socket in a volume that both containers mount. The client passes its own
// standard input, output and error on as descriptors, so no output is copied. When the client ends, in whatever way,
// the command ends with it, and so does everything that the command has started.
//
//	headrace-entry copy FILE                      copy this program to FILE (an init container does)
//	headrace-entry serve SOCKET                   the command of the user's container
//	headrace-entry run SOCKET [OPTIONS] -- ...    run a command there; its exit code is this one's
//	headrace-entry host SOCKET -- ...             run the worker; when it ends, the user's container ends
//	headrace-entry probe FILE PROGRAMS ...         run the first of these programs (A,B) that there is; FILE gets
//	                                              what it said, as JSON
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) < 3 {
		fail(2, "usage: headrace-entry copy FILE | serve SOCKET | run SOCKET [OPTIONS] -- PROGRAM [ARGUMENTS] | "+
			"host SOCKET -- PROGRAM [ARGUMENTS] | probe FILE PROGRAMS [ARGUMENTS]")
	}
	what, path, rest := os.Args[1], os.Args[2], os.Args[3:]
	switch what {
	case "copy":
		if err := copySelf(path); err != nil {
			fail(1, err.Error())
		}
	case "serve":
		os.Exit(serve(path))
	case "attend": // started by serve; descriptor 3 is the connection
		os.Exit(attend(3))
	case "run":
		os.Exit(run(path, rest))
	case "probe":
		os.Exit(probe(path, rest))
	case "host":
		os.Exit(host(path, rest))
	default:
		fail(2, "unknown command "+what)
	}
}

func fail(code int, text string) {
	fmt.Fprintln(os.Stderr, "headrace-entry:", text)
	os.Exit(code)
}

// copySelf copies this program to a file, whole or not at all.
func copySelf(path string) error {
	content, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o777)
	}
	if err != nil {
		return err
	}
	draft := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(draft, content, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(draft, 0o755); err != nil { // whatever the umask is
		return err
	}
	return os.Rename(draft, path)
}
