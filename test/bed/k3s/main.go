// The bed's stand-in for k3s: one program with k3s' face (commands, flags, files, ports, service behaviour)
// that runs the real etcd, Kubernetes, containerd and CNI plugins of the bed as processes. README.md lists
// where it differs from k3s.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

const usage = `NAME:
   k3s - Kubernetes, but small and simple (stand-in of the bed)

USAGE:
   k3s [command] [options]

COMMANDS:
   server   Run management server
   agent    Run node agent
   kubectl  Run kubectl
   ctr      Run ctr
`

func main() {
	log.SetFlags(log.LstdFlags | log.Lmsgprefix)
	// As k3s, it is also kubectl and ctr when it is called by these names.
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "k3s" || !isTool(name) {
		if len(args) == 0 {
			fmt.Print(usage)
			return
		}
		name, args = args[0], args[1:]
	}
	switch name {
	case "server", "agent":
		options, err := parseOptions(name, args, os.Getenv)
		if err == nil {
			err = run(name, options)
		}
		if err != nil {
			fatal(err)
		}
	case "kubectl", "ctr":
		fatal(execTool(name, args))
	case "crictl", "etcd-snapshot", "token", "certificate", "secrets-encrypt", "check-config", "completion":
		fatal(fmt.Errorf("`k3s %s` is not part of this stand-in", name))
	case "-v", "--version", "-version":
		fmt.Printf("k3s version %s (stand-in)\ngo version %s\n", version(), runtime.Version())
	case "-h", "--help", "help":
		fmt.Print(usage)
	default:
		fmt.Fprintf(os.Stderr, "No help topic for '%s'\n", name)
		os.Exit(3)
	}
}

func isTool(name string) bool { return name == "kubectl" || name == "ctr" || name == "crictl" }

func fatal(err error) {
	fmt.Fprintf(os.Stderr, "level=fatal msg=%q\n", err.Error())
	os.Exit(1)
}

// execTool becomes kubectl or ctr, set up for this node.
func execTool(name string, args []string) error {
	bin, err := ensurePrograms(defaultDataDir)
	if err != nil {
		return err
	}
	setDefault := func(key, value string) {
		if os.Getenv(key) == "" {
			os.Setenv(key, value)
		}
	}
	switch name {
	case "kubectl":
		setDefault("KUBECONFIG", defaultKubeconfig)
	case "ctr":
		setDefault("CONTAINERD_ADDRESS", containerdSocket)
		setDefault("CONTAINERD_NAMESPACE", "k8s.io")
	}
	return syscall.Exec(filepath.Join(bin, name), append([]string{name}, args...), os.Environ())
}
