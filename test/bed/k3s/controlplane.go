package main

import (
	"path/filepath"
	"strings"
)

// extra turns `name=value` of a --*-arg flag into the program's flag.
func extra(o options, flag string) []string {
	var args []string
	for _, arg := range o[flag] {
		args = append(args, "--"+strings.TrimLeft(arg, "-"))
	}
	return args
}

func etcdArgs(server string) []string {
	tls := filepath.Join(server, "tls/etcd")
	return []string{
		"--name=default", "--data-dir=" + filepath.Join(server, "db/etcd"), "--log-level=warn",
		"--listen-client-urls=https://127.0.0.1:2379", "--advertise-client-urls=https://127.0.0.1:2379",
		"--listen-peer-urls=https://127.0.0.1:2380", "--initial-advertise-peer-urls=https://127.0.0.1:2380",
		"--initial-cluster=default=https://127.0.0.1:2380", "--listen-metrics-urls=http://127.0.0.1:2381",
		"--client-cert-auth", "--trusted-ca-file=" + tls + "/server-ca.crt",
		"--cert-file=" + tls + "/server-client.crt", "--key-file=" + tls + "/server-client.key",
		"--peer-client-cert-auth", "--peer-trusted-ca-file=" + tls + "/peer-ca.crt",
		"--peer-cert-file=" + tls + "/peer-server-client.crt", "--peer-key-file=" + tls + "/peer-server-client.key",
		"--auto-compaction-mode=periodic", "--auto-compaction-retention=1h",
		// A killed server of the bed loses nothing that the host's kernel has: syncing would only slow it down.
		"--unsafe-no-fsync",
	}
}

func apiServerArgs(server string, net network, advertise string, o options) []string {
	tls := func(name string) string { return filepath.Join(server, "tls", name) }
	return []string{
		"--version=" + version(),
		"--bind-address=127.0.0.1", "--secure-port=6444", "--advertise-address=" + advertise,
		"--etcd-servers=https://127.0.0.1:2379", "--etcd-cafile=" + tls("etcd/server-ca.crt"),
		"--etcd-certfile=" + tls("etcd/client.crt"), "--etcd-keyfile=" + tls("etcd/client.key"),
		"--anonymous-auth=false", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--client-ca-file=" + tls("client-ca.crt"), "--tls-cert-file=" + tls("serving-kube-apiserver.crt"),
		"--tls-private-key-file=" + tls("serving-kube-apiserver.key"),
		"--kubelet-certificate-authority=" + tls("server-ca.crt"),
		"--kubelet-client-certificate=" + tls("client-kube-apiserver.crt"),
		"--kubelet-client-key=" + tls("client-kube-apiserver.key"),
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--requestheader-client-ca-file=" + tls("request-header-ca.crt"), "--requestheader-allowed-names=system:auth-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + tls("client-auth-proxy.crt"), "--proxy-client-key-file=" + tls("client-auth-proxy.key"),
		"--service-account-issuer=https://kubernetes.default.svc." + net.ClusterDomain,
		"--api-audiences=https://kubernetes.default.svc." + net.ClusterDomain + ",k3s",
		"--service-account-key-file=" + tls("service.key"), "--service-account-signing-key-file=" + tls("service.current.key"),
		"--service-cluster-ip-range=" + net.ServiceCIDR,
		"--service-node-port-range=" + o.text("service-node-port-range", "30000-32767"),
		"--allow-privileged=true", "--profiling=false", "--enable-aggregator-routing=true",
		"--external-hostname=127.0.0.1",
		// It would advertise the port on which it listens itself; addons.go writes the gateway's.
		"--endpoint-reconciler-type=none",
		// What stops at once can be started again at once.
		"--shutdown-delay-duration=0s",
	}
}

// The controller manager and the scheduler elect no leader: there is one of each, and after a kill the next
// one would wait for the old lease to end.
func controllerManagerArgs(server string, net network) []string {
	tls := func(name string) string { return filepath.Join(server, "tls", name) }
	kubeconfig := filepath.Join(server, "cred/controller.kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--secure-port=10257", "--leader-elect=false", "--profiling=false",
		"--allocate-node-cidrs=true", "--cluster-cidr=" + net.ClusterCIDR, "--service-cluster-ip-range=" + net.ServiceCIDR,
		"--root-ca-file=" + tls("server-ca.crt"), "--service-account-private-key-file=" + tls("service.current.key"),
		"--use-service-account-credentials=true", "--client-ca-file=" + tls("client-ca.crt"),
		"--tls-cert-file=" + tls("serving-kube-apiserver.crt"), "--tls-private-key-file=" + tls("serving-kube-apiserver.key"),
		"--cluster-signing-kube-apiserver-client-cert-file=" + tls("client-ca.nochain.crt"),
		"--cluster-signing-kube-apiserver-client-key-file=" + tls("client-ca.key"),
		"--cluster-signing-kubelet-client-cert-file=" + tls("client-ca.nochain.crt"),
		"--cluster-signing-kubelet-client-key-file=" + tls("client-ca.key"),
		"--cluster-signing-kubelet-serving-cert-file=" + tls("server-ca.nochain.crt"),
		"--cluster-signing-kubelet-serving-key-file=" + tls("server-ca.key"),
		"--cluster-signing-legacy-unknown-cert-file=" + tls("server-ca.nochain.crt"),
		"--cluster-signing-legacy-unknown-key-file=" + tls("server-ca.key"),
	}
}

func schedulerArgs(server string) []string {
	kubeconfig := filepath.Join(server, "cred/scheduler.kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--secure-port=10259", "--leader-elect=false", "--profiling=false",
	}
}
