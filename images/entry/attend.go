package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Exit codes of `attend` from this one on tell the server to end, with the code that is above it.
const stopped = 200

// Exit codes where a command cannot be run, as shells and container engines have them.
const (
	notExecutable = 126
	notFound      = 127
	killed        = 128 + int(syscall.SIGKILL)
)

// Names of processes that a message names.
const named = 3

// attend runs the command of one connection to its end. Returns the exit code of this process.
func attend(connection int) int {
	syscall.CloseOnExec(connection)
	adoptOrphans()
	told := make(chan os.Signal, 8)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	var order Order
	files, err := receive(connection, &order)
	if err != nil {
		return 0 // a client that was killed while it began
	}
	if order.Stop != nil {
		return min(stopped+max(*order.Stop, 0), 255)
	}
	pid, problem, code := launch(order, files)
	for _, file := range files {
		syscall.Close(file)
	}
	if problem != "" {
		send(connection, Answer{Ended: true, Code: code, Problem: problem})
		return 0
	}
	var sending sync.Mutex
	kills := outOfMemoryKills()
	go func() { // the pod is deleted: tell the client first, which then does not blame the command
		for range told {
			sending.Lock()
			send(connection, Answer{Ending: true})
			sending.Unlock()
			signalGroup(pid, syscall.SIGTERM)
		}
	}()
	go obey(connection, pid)
	status := await(pid)
	left := endAll()
	answer := Answer{Ended: true, Code: status.ExitStatus(), Left: left}
	if status.Signaled() {
		answer.Code = 128 + int(status.Signal())
	}
	answer.OutOfMemory = answer.Code == killed && outOfMemoryKills() > kills
	sending.Lock()
	send(connection, answer)
	return 0
}

// obey passes signals on. When the client is gone, the command is killed.
func obey(connection int, pid int) {
	for {
		var word Word
		if _, err := receive(connection, &word); err != nil {
			for { // what it starts meanwhile, too
				signalGroup(pid, syscall.SIGKILL)
				killChildren(func(int) bool { return true })
				time.Sleep(10 * time.Millisecond)
			}
		}
		signalGroup(pid, syscall.Signal(word.Signal))
	}
}

func signalGroup(pid int, number syscall.Signal) {
	if syscall.Kill(-pid, number) != nil {
		syscall.Kill(pid, number)
	}
}

// launch starts the command. Else it says why not, and the exit code that this means.
func launch(order Order, files []int) (int, string, int) {
	if len(order.Arguments) == 0 || len(files) < 3 {
		return 0, "no program was named", notFound
	}
	for _, path := range order.Needs {
		if _, err := os.Stat(path); err != nil {
			return 0, fmt.Sprintf("%s is not seen in this container; it must be in a volume that the worker's and the "+
				"user's container both mount at that path", path), 125
		}
	}
	variables := merged(os.Environ(), order.Variables)
	program, problem, code := find(order.Arguments[0], order.Folder, valueOf(variables, "PATH"))
	if problem != "" {
		return 0, problem, code
	}
	var passed []uintptr
	for _, file := range files {
		passed = append(passed, uintptr(file))
	}
	pid, err := syscall.ForkExec(program, order.Arguments, &syscall.ProcAttr{
		Dir: order.Folder, Env: variables, Files: passed, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, whyNot(program, order, err), notExecutable
	}
	return pid, "", 0
}

func whyNot(program string, order Order, err error) string {
	if errors.Is(err, os.ErrNotExist) { // it is there, since it was found
		if _, gone := os.Stat(order.Folder); order.Folder != "" && gone != nil {
			return fmt.Sprintf("the working folder %s is not seen in this container", order.Folder)
		}
		return fmt.Sprintf("%s names an interpreter that is not in the image (see its first line)", program)
	}
	return fmt.Sprintf("%s cannot be executed: %v", program, err)
}

// find looks a program up as a shell would: names with a slash begin in the working folder.
func find(name, folder, path string) (string, string, int) {
	if strings.Contains(name, "/") {
		whole := name
		if !filepath.IsAbs(name) {
			whole = filepath.Join(folder, name)
		}
		if ok, there := executable(whole); ok {
			return whole, "", 0
		} else if there {
			return "", name + " is not executable", notExecutable
		}
		return "", name + " is not in the image", notFound
	}
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	found := false
	for _, one := range filepath.SplitList(path) {
		whole := filepath.Join(one, name)
		ok, there := executable(whole)
		if ok {
			return whole, "", 0
		}
		found = found || there
	}
	if found {
		return "", name + " is not executable", notExecutable
	}
	return "", fmt.Sprintf("%s is not in the image (PATH is %s)", name, path), notFound
}

func executable(path string) (ok, there bool) {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return false, false
	}
	return syscall.Access(path, 1) == nil, true
}

// merged gives the variables of the container with others, which come first.
func merged(base, others []string) []string {
	names := map[string]bool{}
	for _, one := range others {
		names[nameOf(one)] = true
	}
	result := append([]string{}, others...)
	for _, one := range base {
		if !names[nameOf(one)] {
			result = append(result, one)
		}
	}
	return result
}

func nameOf(variable string) string {
	name, _, _ := strings.Cut(variable, "=")
	return name
}

func valueOf(variables []string, name string) string {
	for _, one := range variables {
		if strings.HasPrefix(one, name+"=") {
			return one[len(name)+1:]
		}
	}
	return ""
}

// await waits for the command, and for orphans that end meanwhile.
func await(command int) syscall.WaitStatus {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if pid == command && err == nil {
			return status
		}
		if err != nil && err != syscall.EINTR {
			return status
		}
	}
}

// endAll kills what the command has left running, whose orphans become children of this process in their turn.
// Returns names of some of them.
func endAll() []string {
	var names []string
	count := 0
	for {
		for _, name := range killChildren(func(int) bool { return true }) {
			if count < named {
				names = append(names, name)
			}
			count++
		}
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.ECHILD {
			break
		}
		if pid == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if count > named {
		names = append(names, fmt.Sprintf("%d more", count-named))
	}
	return names
}
