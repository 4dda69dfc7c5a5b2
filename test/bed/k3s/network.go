package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// resolvConf is the node's own, unless that names no server that a pod could ask.
func (a *agent) resolvConf() string {
	if given := a.options.text("resolv-conf", ""); given != "" {
		return given
	}
	content, _ := os.ReadFile("/etc/resolv.conf")
	for _, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == "nameserver" {
			if ip := net.ParseIP(fields[1]); ip != nil && ip.IsGlobalUnicast() {
				return "/etc/resolv.conf"
			}
		}
	}
	file := a.path("etc/resolv.conf")
	if err := writeIfChanged(file, []byte("nameserver 8.8.8.8\n"), 0o644); err != nil {
		log.Printf("level=error msg=%q", err)
	}
	return file
}

// nodeList is what we read of the nodes.
type nodeList struct {
	Items []struct {
		Metadata struct{ Name string }
		Spec     struct{ PodCIDR string }
		Status   struct {
			Addresses []struct{ Type, Address string }
		}
	}
}

// keepNetwork writes the CNI configuration of this node's pod network, and a route to that of each other node:
// what flannel's backend host-gw does.
func (a *agent) keepNetwork(ctx context.Context, api *client) {
	for every := 500 * time.Millisecond; ctx.Err() == nil; sleep(ctx, every) {
		nodes := nodeList{}
		if _, err := api.get(ctx, "/api/v1/nodes", &nodes); err != nil {
			continue
		}
		for _, other := range nodes.Items {
			if other.Spec.PodCIDR == "" {
				continue
			}
			if other.Metadata.Name == a.node.name {
				if err := a.writeNetwork(other.Spec.PodCIDR); err != nil {
					log.Printf("level=error msg=%q", err)
					continue
				}
				every = 10 * time.Second
				continue
			}
			for _, address := range other.Status.Addresses {
				if address.Type == "InternalIP" {
					exec.Command("ip", "route", "replace", other.Spec.PodCIDR, "via", address.Address).Run()
				}
			}
		}
	}
}

func (a *agent) writeNetwork(podCIDR string) error {
	if err := os.MkdirAll("/run/flannel", 0o755); err != nil {
		return err
	}
	subnet := fmt.Sprintf("FLANNEL_NETWORK=%s\nFLANNEL_SUBNET=%s\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=true\n", a.network.ClusterCIDR, podCIDR)
	if err := writeIfChanged("/run/flannel/subnet.env", []byte(subnet), 0o644); err != nil {
		return err
	}
	network := fmt.Sprintf(`{
  "name": "cbr0",
  "cniVersion": "1.0.0",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "forceAddress": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": %q }]],
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
`, podCIDR)
	return writeIfChanged(a.path("etc/cni/net.d/10-flannel.conflist"), []byte(network), 0o600)
}

func sleep(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}
