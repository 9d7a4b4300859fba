package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// The largest message: arguments and environment of a command, which Linux limits to a few MiB itself.
const maxMessage = 16 << 20

// Descriptors that one message may carry.
const maxFiles = 16

// Order is what a client asks for. Descriptors 0, 1, 2 and so on of the command come with it.
type Order struct {
	Stop      *int     `json:"stop,omitempty"` // end the server with this exit code
	Arguments []string `json:"arguments"`
	Variables []string `json:"variables"` // NAME=VALUE, beside those of the container
	Folder    string   `json:"folder"`
	Needs     []string `json:"needs"` // files and folders that must be there
}

// Word is what a client says later: a signal for the command.
type Word struct {
	Signal int `json:"signal"`
}

// Answer is what the server says: that the container is ending, or how the command ended.
type Answer struct {
	Ending      bool     `json:"ending,omitempty"`
	Ended       bool     `json:"ended,omitempty"`
	Code        int      `json:"code"`
	OutOfMemory bool     `json:"out_of_memory,omitempty"`
	Problem     string   `json:"problem,omitempty"` // why the command was not started
	Left        []string `json:"left,omitempty"`    // processes that the command left running
}

// send writes a message: its length in four bytes, with which descriptors travel, then JSON.
func send(fd int, message any, files ...int) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("a message of %d bytes is too long", len(body))
	}
	head := make([]byte, 4)
	binary.BigEndian.PutUint32(head, uint32(len(body)))
	var rights []byte
	if len(files) > 0 {
		rights = syscall.UnixRights(files...)
	}
	for {
		n, err := syscall.SendmsgN(fd, head, rights, nil, syscall.MSG_NOSIGNAL)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		body = append(head[n:], body...)
		break
	}
	for len(body) > 0 {
		n, err := syscall.SendmsgN(fd, body, nil, nil, syscall.MSG_NOSIGNAL)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

// receive reads a message, and the descriptors that came with it. At the end of the connection it returns io.EOF.
func receive(fd int, message any) ([]int, error) {
	head := make([]byte, 4)
	files, err := readFull(fd, head, true)
	if err != nil {
		return files, err
	}
	length := binary.BigEndian.Uint32(head)
	if length > maxMessage {
		return files, fmt.Errorf("a message of %d bytes is too long", length)
	}
	body := make([]byte, length)
	if _, err := readFull(fd, body, false); err != nil {
		return files, err
	}
	return files, json.Unmarshal(body, message)
}

func readFull(fd int, into []byte, withFiles bool) ([]int, error) {
	var files []int
	var rights []byte
	if withFiles {
		rights = make([]byte, syscall.CmsgSpace(4*maxFiles))
	}
	for at := 0; at < len(into); {
		n, had, _, _, err := syscall.Recvmsg(fd, into[at:], rights, syscall.MSG_CMSG_CLOEXEC)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return files, err
		}
		if had > 0 {
			found, err := filesOf(rights[:had])
			files = append(files, found...)
			if err != nil {
				return files, err
			}
		}
		if n == 0 {
			if at > 0 {
				return files, io.ErrUnexpectedEOF
			}
			return files, io.EOF
		}
		at += n
	}
	return files, nil
}

func filesOf(rights []byte) ([]int, error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var files []int
	for i := range messages {
		found, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		files = append(files, found...)
	}
	return files, nil
}

// dial connects to the server, which may be starting yet: the containers of a pod begin in any order.
func dial(path string, wait func() bool) (int, error) {
	for {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: path})
		if err == nil {
			return fd, nil
		}
		syscall.Close(fd)
		if err == syscall.EINTR {
			continue
		}
		if !errors.Is(err, os.ErrNotExist) && err != syscall.ECONNREFUSED && err != syscall.EAGAIN {
			return -1, err
		}
		if !wait() {
			return -1, err
		}
	}
}
