package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// supervisor runs the programs that are parts of the k3s process upstream: they end with it however it ends,
// and it ends when one of them does, so that systemd restarts all of them.
type supervisor struct {
	bin    string
	failed chan error

	mutex    sync.Mutex
	children []*child
	stopping bool
}

type child struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

func (s *supervisor) start(name string, logFile string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Env = append(os.Environ(), "PATH="+s.bin+":"+os.Getenv("PATH"))
	// An own process group keeps a Ctrl-C for us alone; the kernel ends the child when its parent thread dies.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if logFile != "" {
		file, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err != nil {
			return err
		}
		defer file.Close()
		cmd.Stdout, cmd.Stderr = file, file
	}
	running := &child{name: name, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Pdeathsig follows the thread that forked, and Go ends idle threads.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		close(running.done)
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if !s.stopping {
			s.failed <- fmt.Errorf("%s ended: %v", name, err)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	log.Printf("level=info msg=\"Running %s\" pid=%d", name, cmd.Process.Pid)
	s.mutex.Lock()
	s.children = append(s.children, running)
	s.mutex.Unlock()
	return nil
}

// stop ends everything, the last started first. Containers go on: their shims are not our children.
func (s *supervisor) stop() {
	s.mutex.Lock()
	s.stopping = true
	children := s.children
	s.mutex.Unlock()
	for i := len(children) - 1; i >= 0; i-- {
		running := children[i]
		running.cmd.Process.Signal(syscall.SIGTERM)
		patience := 3 * time.Second
		if running.name == "etcd" {
			patience = 10 * time.Second
		}
		select {
		case <-running.done:
		case <-time.After(patience):
			running.cmd.Process.Kill()
			<-running.done
		}
	}
}
