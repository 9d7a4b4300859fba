package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
)

const prSetChildSubreaper = 36

// adoptOrphans makes this process the parent of descendants whose own parent ends.
func adoptOrphans() {
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
}

// server is the user's container: it accepts connections and starts a process for each that attends to it.
type server struct {
	listener int
	lock     sync.Mutex
	changed  *sync.Cond
	attends  map[int]bool // processes that attend to a connection
	ending   bool         // the pod is being deleted
	code     int
}

// serve runs until the worker has ended, or the pod is deleted and no command runs. Returns the exit code.
func serve(path string) int {
	os.Remove(path) // of a container that was here before
	listener, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		draft := path + ".new"
		os.Remove(draft)
		err = syscall.Bind(listener, &syscall.SockaddrUnix{Name: draft})
		if err == nil {
			os.Chmod(draft, 0o666) // the worker may be another user; only the containers of the pod see the volume
			err = syscall.Listen(listener, 64)
		}
		if err == nil {
			err = os.Rename(draft, path)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "headrace-entry: cannot listen at %s: %v\n", path, err)
		return 1
	}
	adoptOrphans()
	s := &server{listener: listener, attends: map[int]bool{}}
	s.changed = sync.NewCond(&s.lock)
	go s.watchSignals()
	go s.reap()
	go s.accept()
	s.lock.Lock()
	for !(s.ending && len(s.attends) == 0) {
		s.changed.Wait()
	}
	return s.code
}

func (s *server) watchSignals() {
	told := make(chan os.Signal, 8)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	for range told {
		s.end(0, syscall.SIGTERM)
	}
}

// end lets the container end once nothing runs in it; what runs gets a signal.
func (s *server) end(code int, number syscall.Signal) {
	s.lock.Lock()
	s.ending = true
	s.code = code
	for pid := range s.attends {
		syscall.Kill(pid, number)
	}
	s.changed.Broadcast()
	s.lock.Unlock()
}

func (s *server) accept() {
	runtime.LockOSThread()
	for {
		fd, _, err := syscall.Accept4(s.listener, syscall.SOCK_CLOEXEC)
		if err != nil {
			continue
		}
		s.lock.Lock()
		pid, err := start(fd)
		if err == nil {
			s.attends[pid] = true
			s.changed.Broadcast()
		} else {
			send(fd, Answer{Ended: true, Code: 126, Problem: err.Error()})
		}
		s.lock.Unlock()
		syscall.Close(fd)
	}
}

// start starts the process that attends to a connection.
func start(fd int) (int, error) {
	argv := []string{"headrace-entry", "attend", "-"}
	files := []uintptr{0, 1, 2, uintptr(fd)}
	return syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{Env: os.Environ(), Files: files})
}

// reap waits for processes that ended, and kills those that nobody attends to any more.
func (s *server) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		s.lock.Lock()
		if err == syscall.ECHILD {
			for len(s.attends) == 0 {
				s.changed.Wait()
				if s.ending {
					break
				}
			}
			ending := s.ending && len(s.attends) == 0
			s.lock.Unlock()
			if ending {
				return
			}
			continue
		}
		if err == nil && s.attends[pid] {
			delete(s.attends, pid)
			if status.Exited() && status.ExitStatus() >= stopped {
				s.ending = true
				s.code = status.ExitStatus() - stopped
			}
			s.changed.Broadcast()
		}
		killChildren(func(pid int) bool { return !s.attends[pid] }) // and theirs, as these end
		s.lock.Unlock()
	}
}
