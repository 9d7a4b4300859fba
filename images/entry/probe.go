package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Probed is what is known of an image. Program is empty where it has none of those that were asked for.
type Probed struct {
	Program string `json:"program"`
	Code    int    `json:"code"`
	Said    string `json:"said"`
}

// The most of an answer that is told: Kubernetes keeps 4 KiB of what a container says at its end.
const mostSaid = 1000

// probe runs the first of several programs, by comma, that the image has and that succeeds.
func probe(path string, told []string) int {
	found := Probed{Code: notFound}
	if len(told) > 0 {
		for _, name := range strings.Split(told[0], ",") {
			program, _, _ := find(name, "", os.Getenv("PATH"))
			if program == "" {
				continue
			}
			said, err := exec.Command(program, told[1:]...).CombinedOutput()
			found = Probed{name, 0, string(said[:min(len(said), mostSaid)])}
			if err == nil {
				break
			}
			found.Code = notExecutable
			if failed, ok := err.(*exec.ExitError); ok {
				found.Code = failed.ExitCode()
			} else {
				found.Said = err.Error()
			}
		}
	}
	content, err := json.Marshal(found)
	if err == nil {
		err = os.WriteFile(path, content, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "headrace-entry:", err)
		return 1
	}
	return 0
}
