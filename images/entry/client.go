package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Seconds for which a client waits for the server: the image of its container may be pulled yet.
const patience = 60 * time.Second

// run runs a command in the container of the server, and ends as the command does.
func run(path string, told []string) int {
	order, files, problem := parse(told)
	if problem != "" {
		fmt.Fprintln(os.Stderr, "headrace-entry:", problem)
		return 125
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	until := time.Now().Add(patience)
	connection, err := dial(path, func() bool {
		time.Sleep(20 * time.Millisecond)
		return time.Now().Before(until) && len(signals) == 0
	})
	if err == nil {
		err = send(connection, order, files...)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "headrace-entry: the user's container does not answer at %s: %v\n", path, err)
		return 125
	}
	var asked atomic.Bool
	go func() {
		for one := range signals {
			if number, ok := one.(syscall.Signal); ok {
				asked.Store(asked.Load() || number != syscall.SIGUSR1 && number != syscall.SIGUSR2)
				send(connection, Word{int(number)})
			}
		}
	}()
	return follow(connection, &asked)
}

// follow waits for the end of the command.
func follow(connection int, asked *atomic.Bool) int {
	ending := false
	for {
		var answer Answer
		_, err := receive(connection, &answer)
		if err == nil && answer.Ending {
			ending = true
			continue
		}
		if err == nil && answer.Ended && (!ending || answer.Code == 0) {
			return tell(answer)
		}
		for ending && !asked.Load() { // the pod goes away, and so does this process: nothing is the command's fault
			time.Sleep(10 * time.Millisecond)
		}
		if ending {
			return 128 + int(syscall.SIGTERM)
		}
		fmt.Fprintln(os.Stderr, "headrace-entry: the user's container was killed, most likely because its memory ran out")
		return killed
	}
}

func tell(answer Answer) int {
	if answer.Problem != "" {
		fmt.Fprintln(os.Stderr, answer.Problem)
	}
	if len(answer.Left) > 0 {
		fmt.Fprintf(os.Stderr, "headrace: the command ended and left %s running: killed\n", strings.Join(answer.Left, ", "))
	}
	if answer.OutOfMemory {
		return killed
	}
	return answer.Code
}

// parse reads options as the worker writes them.
func parse(told []string) (Order, []int, string) {
	order, files := Order{}, []int{0, 1, 2}
	for i := 0; i < len(told); i++ {
		if told[i] == "--" {
			order.Arguments = told[i+1:]
			return order, files, ""
		}
		name, value, found := strings.Cut(told[i], "=")
		if !found {
			return order, files, "unknown option " + told[i]
		}
		switch name {
		case "--folder":
			order.Folder = value
		case "--need":
			order.Needs = append(order.Needs, value)
		case "--env": // a name; the value is that of this process, where no list of processes shows it
			if found, ok := os.LookupEnv(value); ok {
				order.Variables = append(order.Variables, value+"="+found)
			}
		case "--files":
			count, err := strconv.Atoi(value)
			if err != nil || count < 0 || count > maxFiles-3 {
				return order, files, "impossible " + told[i]
			}
			for one := 0; one < count; one++ {
				files = append(files, 3+one)
			}
		default:
			return order, files, "unknown option " + told[i]
		}
	}
	return order, files, "no program was named after --"
}

// host runs the worker of a pod, and ends the user's container with it: a pod is over when that container is.
func host(path string, told []string) int {
	if len(told) < 2 || told[0] != "--" {
		fmt.Fprintln(os.Stderr, "headrace-entry: no program was named after --")
		return 2
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	code := 1
	mark := path + ".hosted"
	if _, err := os.Stat(mark); err == nil {
		// Kubernetes starts a sidecar again that has ended; the worker that was here has lost what it had in hand.
		fmt.Fprintln(os.Stderr, "headrace-entry: the worker of this pod was killed, so the pod ends")
	} else {
		os.WriteFile(mark, nil, 0o600)
		var signalled bool
		if code, signalled = child(told[1:], signals); signalled {
			return code // the pod is being deleted
		}
	}
	connection, err := dial(path, func() bool { time.Sleep(20 * time.Millisecond); return len(signals) == 0 })
	if err == nil {
		err = send(connection, Order{Stop: &code})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "headrace-entry: cannot end the user's container:", err)
	}
	<-signals // which comes once that container has ended; a sidecar that ended earlier would be started again
	return code
}

// child runs a program and passes signals on. Returns its exit code, and whether there was a signal.
func child(told []string, signals chan os.Signal) (int, bool) {
	program, problem, code := find(told[0], "", os.Getenv("PATH"))
	if problem != "" {
		fmt.Fprintln(os.Stderr, "headrace-entry:", problem)
		return code, false
	}
	pid, err := syscall.ForkExec(program, told, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "headrace-entry:", err)
		return notExecutable, false
	}
	ended := make(chan syscall.WaitStatus, 1)
	go func() { ended <- await(pid) }()
	signalled := false
	for {
		select {
		case one := <-signals:
			signalled = true
			if number, ok := one.(syscall.Signal); ok {
				syscall.Kill(pid, number)
			}
		case status := <-ended:
			if status.Signaled() {
				return 128 + int(status.Signal()), signalled
			}
			return status.ExitStatus(), signalled
		}
	}
}
