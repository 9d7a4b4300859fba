package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

var (
	killing  sync.Mutex
	reported = map[int]bool{} // processes whose names were returned before
)

// killChildren kills the children of this process that are chosen, and returns the names of those that ran.
func killChildren(chosen func(pid int) bool) []string {
	killing.Lock()
	defer killing.Unlock()
	var names []string
	me := os.Getpid()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == me {
			continue
		}
		name, state, parent := processOf(pid)
		if parent != me || state == 'Z' || state == 'X' || !chosen(pid) {
			continue
		}
		syscall.Kill(pid, syscall.SIGKILL)
		if !reported[pid] {
			reported[pid] = true
			names = append(names, fmt.Sprintf("%s (process %d)", name, pid))
		}
	}
	return names
}

// processOf gives the name, the state and the parent of a process.
func processOf(pid int) (string, byte, int) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 'X', 0
	}
	open, end := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	if open < 0 || end < open {
		return "", 'X', 0
	}
	fields := strings.Fields(string(content[end+1:]))
	if len(fields) < 2 {
		return "", 'X', 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return string(content[open+1 : end]), fields[0][0], parent
}

// outOfMemoryKills counts what the kernel killed in this container because its memory ran out; -1 where it does not say.
func outOfMemoryKills() int {
	for _, path := range []string{"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"} {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(content), "\n") {
			fields := strings.Fields(line)
			if len(fields) == 2 && fields[0] == "oom_kill" {
				if count, err := strconv.Atoi(fields[1]); err == nil {
					return count
				}
			}
		}
	}
	return -1
}
