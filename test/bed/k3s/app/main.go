// The stand-in for every application whose image the bed cannot have. It answers 200 on the ports that the
// applications listen on, so that real probes of real pods pass, and it does the little that others wait for:
// an empty list of users (kratos), and the conditions that operators set on their resources.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ports are those of all applications. A pod has a network of its own: nobody else uses them.
var ports = []int{
	80, 443, 2020, 3000, 3100, 3306, 4180, 4433, 4434, 4444, 4445, 5432, 6379, 6443, 7946, 8000, 8080, 8081, 8085, 8088, 8443,
	8888, 9000, 9080, 9090, 9091, 9093, 9094, 9095, 9096, 9100, 9121, 9187, 9216, 9402, 9403, 9458, 10250, 12345, 27017, 27018,
}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if name == "pause" {
		<-stop
		return
	}
	fmt.Printf("stand-in for %s, called as %s %s\n", image(), name, strings.Join(args, " "))
	if isOneShot(name, args) {
		return
	}
	if !onHostNetwork() {
		for _, port := range ports {
			go serve(port)
		}
	}
	go operate()
	<-stop
	fmt.Println("stopped")
}

// image is the name of the image that this stands in for.
func image() string { return os.Getenv("STAND_IN_FOR") }

// isOneShot tells what is called to do something once: jobs and init containers.
func isOneShot(name string, args []string) bool {
	if name == "curl" || name == "wp" || strings.Contains(image(), "velero-plugin") {
		return true
	}
	return slices.ContainsFunc(args, func(arg string) bool {
		return arg == "migrate" || arg == "janitor" || arg == "exit"
	})
}

// onHostNetwork says whether this pod shares the network of its node: then no port is ours to take.
func onHostNetwork() bool {
	interfaces, err := net.Interfaces()
	return err != nil || slices.ContainsFunc(interfaces, func(each net.Interface) bool { return each.Name == "cni0" })
}

func serve(port int) {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return // another container of this pod has it, and is such a stand-in too
	}
	http.Serve(listener, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if strings.HasPrefix(request.URL.Path, "/admin/identities") {
			answer.Header().Set("Content-Type", "application/json")
			fmt.Fprintln(answer, "[]")
			return
		}
		fmt.Fprintf(answer, "stand-in for %s\n", image())
	}))
}
