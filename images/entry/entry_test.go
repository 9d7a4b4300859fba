package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is the program itself where a test, or the program, starts this binary again.
func TestMain(m *testing.M) {
	switch os.Args[1] {
	case "copy", "serve", "attend", "run", "host", "probe":
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// container is a server as the user's container runs it.
type container struct {
	t       *testing.T
	socket  string
	process *exec.Cmd
}

func begin(t *testing.T) *container {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	process := exec.Command(os.Args[0], "serve", socket)
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	return &container{t, socket, process}
}

func (c *container) client(arguments ...string) *exec.Cmd {
	return exec.Command(os.Args[0], append([]string{"run", c.socket}, arguments...)...)
}

func (c *container) run(arguments ...string) (int, string, string) {
	c.t.Helper()
	client := c.client(arguments...)
	var out, err bytes.Buffer
	client.Stdout, client.Stderr = &out, &err
	client.Run()
	return client.ProcessState.ExitCode(), out.String(), err.String()
}

func runs(pid string) bool {
	state := ""
	content, err := os.ReadFile("/proc/" + pid + "/stat")
	if err == nil {
		state = strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))[0]
	}
	return state != "" && state != "Z"
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal(what)
		}
	}
}

func read(path string) string {
	content, _ := os.ReadFile(path)
	return strings.TrimSpace(string(content))
}

func TestCommandHasItsArgumentsVariablesAndFolder(t *testing.T) {
	c := begin(t)
	folder := t.TempDir()
	t.Setenv("MINE", "a b\nc")
	code, out, err := c.run("--folder="+folder, "--env=MINE", "--env=NOT_SET", "--", "sh", "-c",
		`pwd; printf %s "$MINE$1"; echo bad >&2; exit 3`, "sh", "$x; 'y'")
	if code != 3 || out != folder+"\na b\nc$x; 'y'" || err != "bad\n" {
		t.Fatal(code, out, err)
	}
}

func TestContainerServesOneCommandAfterTheOtherAndSeveralAtOnce(t *testing.T) {
	c := begin(t)
	ended := make(chan string)
	for i := 0; i < 20; i++ {
		go func(i int) {
			_, out, _ := c.run("--", "echo", fmt.Sprint(i))
			ended <- strings.TrimSpace(out)
		}(i)
	}
	found := map[string]bool{}
	for i := 0; i < 20; i++ {
		found[<-ended] = true
	}
	if len(found) != 20 {
		t.Fatal(found)
	}
}

func TestStandardInputAndFurtherFilesArePassedOn(t *testing.T) {
	c := begin(t)
	client := c.client("--files=1", "--", "sh", "-c", "cat; cat <&3")
	client.Stdin = strings.NewReader("one ")
	more, _ := os.CreateTemp(t.TempDir(), "")
	more.WriteString("two")
	more.Seek(0, 0)
	client.ExtraFiles = []*os.File{more}
	out, err := client.Output()
	if string(out) != "one two" || err != nil {
		t.Fatal(string(out), err)
	}
}

func TestExitCodesSayWhyACommandWasNotRun(t *testing.T) {
	c := begin(t)
	folder := t.TempDir()
	os.WriteFile(filepath.Join(folder, "plain"), []byte("text"), 0o644)
	os.WriteFile(filepath.Join(folder, "script"), []byte("#!/no/interpreter\n"), 0o755)
	for _, one := range []struct {
		arguments []string
		code      int
		says      string
	}{
		{[]string{"--", "no-such-program"}, 127, "is not in the image"},
		{[]string{"--folder=" + folder, "--", "./plain"}, 126, "is not executable"},
		{[]string{"--folder=" + folder, "--", "./script"}, 126, "interpreter that is not in the image"},
		{[]string{"--folder=/no/folder", "--", "true"}, 126, "working folder /no/folder is not seen"},
		{[]string{"--need=/no/input", "--", "true"}, 125, "/no/input is not seen in this container"},
		{[]string{"--what", "--", "true"}, 125, "unknown option"},
		{[]string{"--", "sh", "-c", "kill -9 $$"}, 137, ""},
	} {
		if code, _, err := c.run(one.arguments...); code != one.code || !strings.Contains(err, one.says) {
			t.Error(one.arguments, code, err)
		}
	}
}

func TestWhatACommandLeavesRunningIsKilledAndNamed(t *testing.T) {
	c := begin(t)
	code, out, err := c.run("--", "sh", "-c", "setsid sleep 1000 >/dev/null & echo $!; sleep 0.1")
	if pid := strings.TrimSpace(out); code != 0 || runs(pid) || !strings.Contains(err, "sleep (process "+pid+")") {
		t.Fatal(code, out, err)
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	c := begin(t)
	mark := filepath.Join(t.TempDir(), "mark")
	client := c.client("--", "sh", "-c", `trap 'exit 9' TERM; echo x > "$1"; while :; do sleep 0.05; done`, "sh", mark)
	client.Start()
	eventually(t, "it began", func() bool { return read(mark) == "x" })
	client.Process.Signal(syscall.SIGTERM)
	client.Wait()
	if client.ProcessState.ExitCode() != 9 {
		t.Fatal(client.ProcessState)
	}
}

func TestCommandEndsWithItsClient(t *testing.T) {
	c := begin(t)
	mark := filepath.Join(t.TempDir(), "mark")
	client := c.client("--", "sh", "-c", `setsid sleep 1000 & echo $! > "$1"; wait`, "sh", mark)
	client.Start()
	eventually(t, "it began", func() bool { return read(mark) != "" })
	client.Process.Kill()
	client.Wait()
	eventually(t, "its orphan is left", func() bool { return !runs(read(mark)) })
	if code, _, _ := c.run("--", "true"); code != 0 {
		t.Fatal("the container serves on", code)
	}
}

func TestKillOfTheProcessThatAttendsIsToldAsMemoryThatRanOut(t *testing.T) {
	c := begin(t)
	mark := filepath.Join(t.TempDir(), "mark")
	client := c.client("--", "sh", "-c", `echo $$ $PPID > "$1"; sleep 1000`, "sh", mark)
	var said bytes.Buffer
	client.Stderr = &said
	client.Start()
	eventually(t, "it began", func() bool { return strings.Contains(read(mark), " ") })
	pids := strings.Fields(read(mark))
	exec.Command("kill", "-9", pids[1]).Run()
	client.Wait()
	if client.ProcessState.ExitCode() != 137 || !strings.Contains(said.String(), "memory ran out") {
		t.Fatal(client.ProcessState, said.String())
	}
	eventually(t, "the command is left", func() bool { return !runs(pids[0]) })
}

func TestDeletedPodIsNotTheFaultOfItsCommand(t *testing.T) {
	c := begin(t)
	mark := filepath.Join(t.TempDir(), "mark")
	client := c.client("--", "sh", "-c", `echo x > "$1"; sleep 1000`, "sh", mark)
	client.Start()
	eventually(t, "it began", func() bool { return read(mark) == "x" })
	c.process.Process.Signal(syscall.SIGTERM) // as the kubelet does
	c.process.Wait()
	if c.process.ProcessState.ExitCode() != 0 {
		t.Fatal(c.process.ProcessState)
	}
	time.Sleep(100 * time.Millisecond)
	if !runs(fmt.Sprint(client.Process.Pid)) {
		t.Fatal("the client told the worker that the command had failed")
	}
	client.Process.Signal(syscall.SIGTERM)
	client.Wait()
	if client.ProcessState.ExitCode() != 143 {
		t.Fatal(client.ProcessState)
	}
}

func TestContainerEndsWithItsWorker(t *testing.T) {
	c := begin(t)
	worker := exec.Command(os.Args[0], "host", c.socket, "--", "sh", "-c", "exit 4")
	worker.Start()
	c.process.Wait()
	if c.process.ProcessState.ExitCode() != 4 {
		t.Fatal(c.process.ProcessState)
	}
	worker.Process.Signal(syscall.SIGTERM) // the kubelet ends sidecars then
	worker.Wait()
	if worker.ProcessState.ExitCode() != 4 {
		t.Fatal(worker.ProcessState)
	}
}

func TestWorkerThatIsStartedAgainEndsThePod(t *testing.T) {
	c := begin(t)
	again := exec.Command(os.Args[0], "host", c.socket, "--", "sh", "-c", "exit 0")
	os.WriteFile(c.socket+".hosted", nil, 0o600)
	again.Start()
	c.process.Wait()
	if c.process.ProcessState.ExitCode() != 1 {
		t.Fatal(c.process.ProcessState)
	}
	again.Process.Kill()
	again.Wait()
}

func TestCopyIsThisProgram(t *testing.T) {
	target := filepath.Join(t.TempDir(), "copied")
	if err := exec.Command(os.Args[0], "copy", target).Run(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(target)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Fatal(info, err)
	}
}

func TestClientWaitsForAContainerThatIsNotThereYet(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	client := exec.Command(os.Args[0], "run", socket, "--", "echo", "here")
	var out bytes.Buffer
	client.Stdout = &out
	client.Start()
	time.Sleep(50 * time.Millisecond)
	server := exec.Command(os.Args[0], "serve", socket)
	server.Start()
	client.Wait()
	server.Process.Kill()
	server.Wait()
	if out.String() != "here\n" {
		t.Fatal(out.String())
	}
}

func TestGarbledOrdersEndTheirConnectionOnly(t *testing.T) {
	c := begin(t)
	c.run("--", "true") // it listens
	for _, garbled := range []string{"", "\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x02{]", "\x00\x00\x00\x02{}"} {
		fd, err := dial(c.socket, func() bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		syscall.Write(fd, []byte(garbled))
		syscall.Close(fd)
	}
	if code, out, _ := c.run("--", "echo", "fine"); code != 0 || out != "fine\n" {
		t.Fatal(code, out)
	}
}

func TestProbeTellsWhatTheFirstProgramOfAnImageSays(t *testing.T) {
	for _, one := range []struct{ programs, says string }{
		{"no-such,sh", `{"program":"sh","code":0,"said":"x\n"}`},
		{"false,sh", `{"program":"sh","code":0,"said":"x\n"}`},
		{"no-such", `{"program":"","code":127,"said":""}`},
		{"false", `{"program":"false","code":1,"said":""}`},
	} {
		file := filepath.Join(t.TempDir(), "said")
		exec.Command(os.Args[0], "probe", file, one.programs, "-c", "echo x").Run()
		if read(file) != one.says {
			t.Error(one.programs, read(file))
		}
	}
}
