package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// apiServer is where the API server listens; port 6443 is the gateway's.
const apiServer = "https://127.0.0.1:6444"

// run is `k3s server` and `k3s agent`. It returns after a signal, or with the reason of a failure.
func run(command string, o options) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("%s must run as root", command)
	}
	log.Printf("level=info msg=\"Starting k3s %s (stand-in)\"", version())
	// The programs run here are not services of their own: only we tell systemd that we are ready.
	notifySocket := os.Getenv("NOTIFY_SOCKET")
	os.Unsetenv("NOTIFY_SOCKET")
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()

	node, err := nodeOf(o)
	if err != nil {
		return err
	}
	bin, err := ensurePrograms(node.dataDir)
	if err != nil {
		return err
	}
	s := &supervisor{bin: bin, failed: make(chan error, 16)}
	defer s.stop()
	start := startServer
	if command == "agent" {
		start = joinServer
	}
	go func() {
		if err := start(ctx, s, o, node); err != nil {
			s.failed <- err
			return
		}
		log.Printf("level=info msg=\"k3s is up and running\"")
		if err := notify(notifySocket, "READY=1\n"); err != nil {
			s.failed <- err
		}
	}()
	select {
	case <-ctx.Done():
		log.Printf("level=info msg=\"Shutdown request received\"")
		return nil
	case err := <-s.failed:
		return err
	}
}

// notify tells systemd, as sd_notify(3) does.
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	connection, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte(state))
	return err
}

// node is what the flags say of this machine.
type node struct {
	dataDir, name, ip, externalIP string
}

func nodeOf(o options) (node, error) {
	n := node{
		dataDir: o.text("data-dir", defaultDataDir), name: strings.ToLower(o.text("node-name", "")),
		externalIP: first(o.list("node-external-ip")), ip: first(o.list("node-ip")),
	}
	if n.name == "" {
		hostname, err := os.Hostname()
		if err != nil {
			return n, err
		}
		n.name = strings.ToLower(hostname)
	}
	if o.bool("with-node-id") {
		id, err := nodeID()
		if err != nil {
			return n, err
		}
		n.name += "-" + id
	}
	if n.ip == "" {
		// The address from which the default route is used; connecting a UDP socket sends nothing.
		connection, err := net.Dial("udp4", "192.0.2.1:9")
		if err != nil {
			return n, errors.New("no default routes found in \"/proc/net/route\": set node-ip")
		}
		n.ip = connection.LocalAddr().(*net.UDPAddr).IP.String()
		connection.Close()
	}
	if net.ParseIP(n.ip) == nil {
		return n, fmt.Errorf("invalid node-ip %s", n.ip)
	}
	return n, nil
}

// nodeID is the id that `with-node-id` puts behind the name of a node; it is kept (pkg/agent/config/config.go, ensureNodeID).
func nodeID() (string, error) {
	const file = "/etc/rancher/node/id"
	if content, err := os.ReadFile(file); err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	id := hex.EncodeToString(random)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	return id, os.WriteFile(file, []byte(id+"\n"), 0o644)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// network are the settings of the cluster that its nodes share.
type network struct {
	ClusterCIDR, ServiceCIDR, ClusterDNS, ClusterDomain string
}

func startServer(ctx context.Context, s *supervisor, o options, n node) error {
	for _, flag := range []string{"server", "datastore-endpoint"} {
		if o.text(flag, "") != "" {
			return fmt.Errorf("--%s: a server that joins others, or one with an external datastore, is not part of this stand-in", flag)
		}
	}
	net := network{
		ClusterCIDR: o.text("cluster-cidr", "10.42.0.0/16"), ServiceCIDR: o.text("service-cidr", "10.43.0.0/16"),
		ClusterDNS: o.text("cluster-dns", "10.43.0.10"), ClusterDomain: o.text("cluster-domain", "cluster.local"),
	}
	server := filepath.Join(n.dataDir, "server")
	for _, folder := range []string{"tls", "cred", "db/etcd", "manifests", "etc"} {
		if err := os.MkdirAll(filepath.Join(server, folder), 0o700); err != nil {
			return err
		}
	}
	advertise := o.text("advertise-address", n.externalIP)
	if advertise == "" {
		advertise = n.ip
	}
	serviceIP, err := serviceAddress(net.ServiceCIDR)
	if err != nil {
		return err
	}
	sans := append(o.list("tls-san"), "127.0.0.1", "::1", "localhost", n.name, n.ip, advertise, serviceIP)
	if bind := o.text("bind-address", ""); bind != "" {
		sans = append(sans, bind)
	}
	tlsDir := filepath.Join(server, "tls")
	p, err := ensurePKI(tlsDir, net.ClusterDomain, sans)
	if err != nil {
		return err
	}
	tokens, err := ensureTokens(server, o, p)
	if err != nil {
		return err
	}
	if err := writeServerKubeconfigs(server, o); err != nil {
		return err
	}
	sans = append(sans, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc."+net.ClusterDomain)
	cert, err := newDynamicCert(p.server, filepath.Join(tlsDir, "dynamic-cert.json"), sans)
	if err != nil {
		return err
	}
	gateway, err := newGateway(p, tlsDir, apiServer, &agentDoor{pki: p, token: tokens.agent, network: net})
	if err != nil {
		return err
	}
	if err := gateway.serve(o.text("bind-address", "")+":"+o.text("https-listen-port", "6443"), cert, s.failed); err != nil {
		return err
	}

	if err := s.start("etcd", "", append(etcdArgs(server), extra(o, "etcd-arg")...)...); err != nil {
		return err
	}
	apiArgs := append(apiServerArgs(server, net, advertise, o), extra(o, "kube-apiserver-arg")...)
	if err := s.start("kube-apiserver", "", apiArgs...); err != nil {
		return err
	}
	agent := &agent{node: n, network: net, options: o, supervisor: s, server: "https://" + oneOf(o.text("bind-address", ""), "127.0.0.1") + ":" + o.text("https-listen-port", "6443")}
	if err := agent.writeBundle(bundleFor(p, n.name, n.ip)); err != nil {
		return err
	}
	runtimeReady := make(chan error, 1)
	go func() { runtimeReady <- agent.startRuntime(ctx) }()

	at := func(name string) string { return filepath.Join(tlsDir, name) }
	api, err := newClient(apiServer, at("server-ca.crt"), at("client-admin.crt"), at("client-admin.key"))
	if err != nil {
		return err
	}
	if err := until(ctx, 5*time.Minute, "the API server", func() bool {
		status, _, err := api.send(ctx, http.MethodGet, "/readyz", "", nil)
		return err == nil && status == http.StatusOK
	}); err != nil {
		return err
	}
	gateway.ready.Store(true)
	log.Printf("level=info msg=\"Kube API server is now running\"")
	if err := s.start("kube-controller-manager", "", append(controllerManagerArgs(server, net), extra(o, "kube-controller-manager-arg")...)...); err != nil {
		return err
	}
	if !o.bool("disable-scheduler") {
		if err := s.start("kube-scheduler", "", append(schedulerArgs(server), extra(o, "kube-scheduler-arg")...)...); err != nil {
			return err
		}
	}
	if err := cert.sync(ctx, api); err != nil {
		return err
	}
	go func() {
		if err := <-runtimeReady; err != nil {
			s.failed <- err
			return
		}
		if err := agent.startNode(ctx); err != nil {
			s.failed <- err
		}
	}()
	addons := &addons{
		api: api, node: n, network: net, options: o, bin: s.bin, advertise: advertise, manifests: filepath.Join(server, "manifests"),
	}
	if err := addons.publish(ctx); err != nil {
		return err
	}
	go addons.run(ctx)
	if !o.bool("disable-cloud-controller") {
		go runCloudController(ctx, api)
	}
	return nil
}

// serviceAddress is the address of the service `kubernetes`.
func serviceAddress(cidr string) (string, error) {
	ip, _, err := net.ParseCIDR(cidr)
	if err != nil || ip.To4() == nil {
		return "", fmt.Errorf("invalid service-cidr %s", cidr)
	}
	ip = ip.To4()
	ip[3]++
	return ip.String(), nil
}

// until keeps asking until `done`, or fails.
func until(ctx context.Context, patience time.Duration, what string, done func() bool) error {
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not become ready", what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}
