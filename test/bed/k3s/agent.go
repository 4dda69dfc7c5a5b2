package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	containerdSocket = "/run/k3s/containerd/containerd.sock"
	pauseImage       = "rancher/mirrored-pause:3.6"
)

// agent is the part of k3s that makes a machine a node.
type agent struct {
	node       node
	network    network
	options    options
	supervisor *supervisor
	// server is where this node finds the API server.
	server string
}

// bundle is what a node gets from the server, in files of the folder agent/.
type bundle struct {
	Network network
	Files   map[string][]byte
}

// bundleFor issues a node's certificates.
func bundleFor(p *pki, name, ip string) (bundle, error) {
	b := bundle{Files: map[string][]byte{"client-ca.crt": p.client.pem, "server-ca.crt": p.server.pem}}
	folder, err := os.MkdirTemp("", "k3s-node")
	if err != nil {
		return b, err
	}
	defer os.RemoveAll(folder)
	for _, certificate := range []struct {
		ca   *authority
		file string
		who  subject
	}{
		{p.client, "client-kubelet", subject{name: "system:node:" + name, org: []string{"system:nodes"}, usages: clientUse}},
		{p.server, "serving-kubelet", subject{name: name, sans: []string{name, "localhost", "127.0.0.1", ip}, usages: serverUse}},
		{p.client, "client-kube-proxy", subject{name: "system:kube-proxy", usages: clientUse}},
		{p.client, "client-k3s-controller", subject{name: "system:k3s-controller", usages: clientUse}},
	} {
		if err := certificate.ca.ensure(filepath.Join(folder, certificate.file), certificate.who); err != nil {
			return b, err
		}
		for _, name := range []string{certificate.file + ".crt", certificate.file + ".key"} {
			if b.Files[name], err = os.ReadFile(filepath.Join(folder, name)); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

func (a *agent) path(parts ...string) string {
	return filepath.Join(append([]string{a.node.dataDir, "agent"}, parts...)...)
}

// writeBundle writes the files of agent/, with the kubeconfigs that use them.
func (a *agent) writeBundle(b bundle, err error) error {
	if err != nil {
		return err
	}
	for _, folder := range []string{"images", "pod-manifests", "containerd", "etc/containerd", "etc/cni/net.d", "etc/kubelet.conf.d"} {
		if err := os.MkdirAll(a.path(folder), 0o755); err != nil {
			return err
		}
	}
	for name, content := range b.Files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".key") {
			mode = 0o600
		}
		if err := os.WriteFile(a.path(name), content, mode); err != nil {
			return err
		}
	}
	for file, client := range map[string]string{
		"kubelet": "client-kubelet", "kubeproxy": "client-kube-proxy", "k3scontroller": "client-k3s-controller",
	} {
		text := fileKubeconfig(a.server, a.path("server-ca.crt"), a.path(client+".crt"), a.path(client+".key"))
		if err := writeIfChanged(a.path(file+".kubeconfig"), text, 0o600); err != nil {
			return err
		}
	}
	password := "/etc/rancher/node/password"
	if _, err := os.Stat(password); os.IsNotExist(err) {
		if err := os.MkdirAll(filepath.Dir(password), 0o755); err != nil {
			return err
		}
		return os.WriteFile(password, []byte(random(16)+"\n"), 0o600)
	}
	return nil
}

// startNode starts the kubelet and kube-proxy, and gives containerd a network as soon as the node has one.
func (a *agent) startNode(ctx context.Context) error {
	kubelet := fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: { enabled: false }
  webhook: { enabled: true }
  x509: { clientCAFile: %[1]s/client-ca.crt }
authorization: { mode: Webhook }
cgroupDriver: cgroupfs
clusterDNS: [%[2]s]
clusterDomain: %[3]s
containerRuntimeEndpoint: unix://%[4]s
evictionHard: { imagefs.available: 5%%, nodefs.available: 5%% }
evictionMinimumReclaim: { imagefs.available: 10%%, nodefs.available: 10%% }
failSwapOn: false
# The machine that runs the bed may have cgroup v1 only.
failCgroupV1: false
healthzBindAddress: 127.0.0.1
resolvConf: %[5]s
serializeImagePulls: false
staticPodPath: %[1]s/pod-manifests
tlsCertFile: %[1]s/serving-kubelet.crt
tlsPrivateKeyFile: %[1]s/serving-kubelet.key
`, a.path(), a.network.ClusterDNS, a.network.ClusterDomain, containerdSocket, a.resolvConf())
	file := a.path("etc/kubelet.conf.d/00-k3s-defaults.conf")
	if err := writeIfChanged(file, []byte(kubelet), 0o600); err != nil {
		return err
	}
	labels := append([]string{"node.kubernetes.io/instance-type=k3s"}, a.options.list("node-label")...)
	args := []string{
		"--version=" + version(), "--config=" + file, "--kubeconfig=" + a.path("kubelet.kubeconfig"), "--hostname-override=" + a.node.name,
		"--node-ip=" + a.node.ip, "--node-labels=" + strings.Join(labels, ","),
	}
	if !a.options.bool("disable-cloud-controller") {
		args = append(args, "--cloud-provider=external")
	}
	if taints := a.options.list("node-taint"); len(taints) > 0 {
		args = append(args, "--register-with-taints="+strings.Join(taints, ","))
	}
	if err := a.supervisor.start("kubelet", "", append(args, extra(a.options, "kubelet-arg")...)...); err != nil {
		return err
	}
	if !a.options.bool("disable-kube-proxy") {
		proxy := []string{
			"--kubeconfig=" + a.path("kubeproxy.kubeconfig"), "--hostname-override=" + a.node.name,
			"--proxy-mode=iptables", "--cluster-cidr=" + a.network.ClusterCIDR, "--healthz-bind-address=127.0.0.1",
			// These settings belong to the machine that runs the bed.
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
		}
		if err := a.supervisor.start("kube-proxy", "", append(proxy, extra(a.options, "kube-proxy-arg")...)...); err != nil {
			return err
		}
	}
	api, err := newClient(a.server, a.path("server-ca.crt"), a.path("client-k3s-controller.crt"), a.path("client-k3s-controller.key"))
	if err != nil {
		return err
	}
	go a.keepNetwork(ctx, api)
	return nil
}
