package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	defaultDataDir    = "/var/lib/rancher/k3s"
	defaultConfig     = "/etc/rancher/k3s/config.yaml"
	defaultKubeconfig = "/etc/rancher/k3s/k3s.yaml"
)

// kind is how a flag of k3s takes its values.
type kind int

const (
	text kind = iota
	boolean
	list
)

// flags are those of `k3s server` and `k3s agent` (https://docs.k3s.io/cli/server, …/agent). All are taken;
// README.md says which have an effect here.
var flags = map[string]kind{
	"config": text, "debug": boolean, "v": text, "vmodule": text, "log": text, "alsologtostderr": boolean,
	"bind-address": text, "https-listen-port": text, "supervisor-port": text, "apiserver-port": text,
	"advertise-address": text, "advertise-port": text,
	"tls-san": list, "tls-san-security": boolean, "data-dir": text, "cluster-cidr": list, "service-cidr": list,
	"service-node-port-range": text, "cluster-dns": list, "cluster-domain": text, "flannel-backend": text,
	"flannel-ipv6-masq": boolean, "flannel-external-ip": boolean, "egress-selector-mode": text,
	"servicelb-namespace": text, "write-kubeconfig": text, "write-kubeconfig-mode": text,
	"write-kubeconfig-group": text, "helm-job-image": text, "token": text, "token-file": text,
	"agent-token": text, "agent-token-file": text, "server": text, "cluster-init": boolean,
	"cluster-reset": boolean, "cluster-reset-restore-path": text, "kube-apiserver-arg": list, "etcd-arg": list,
	"kube-controller-manager-arg": list, "kube-scheduler-arg": list, "kube-cloud-controller-manager-arg": list,
	"datastore-endpoint": text, "datastore-cafile": text, "datastore-certfile": text, "datastore-keyfile": text,
	"etcd-expose-metrics": boolean, "etcd-disable-snapshots": boolean, "etcd-snapshot-name": text,
	"etcd-snapshot-schedule-cron": text, "etcd-snapshot-retention": text, "etcd-snapshot-dir": text,
	"etcd-snapshot-compress": boolean, "default-local-storage-path": text, "disable": list,
	"disable-scheduler": boolean, "disable-cloud-controller": boolean, "disable-kube-proxy": boolean,
	"disable-network-policy": boolean, "disable-helm-controller": boolean, "embedded-registry": boolean,
	"supervisor-metrics": boolean, "node-name": text, "with-node-id": boolean, "node-label": list,
	"node-taint": list, "image-credential-provider-bin-dir": text, "image-credential-provider-config": text,
	"docker": boolean, "container-runtime-endpoint": text, "pause-image": text, "snapshotter": text,
	"private-registry": text, "system-default-registry": text, "airgap-extra-registry": list, "node-ip": list,
	"node-external-ip": list, "node-internal-dns": list, "node-external-dns": list, "resolv-conf": text,
	"flannel-iface": text, "flannel-conf": text, "flannel-cni-conf": text, "vpn-auth": text,
	"vpn-auth-file": text, "kubelet-arg": list, "kube-proxy-arg": list, "protect-kernel-defaults": boolean,
	"secrets-encryption": boolean, "enable-pprof": boolean, "rootless": boolean, "prefer-bundled-bin": boolean,
	"selinux": boolean, "lb-server-port": text, "disable-agent": boolean, "disable-apiserver-lb": boolean,
	"disable-default-registry-endpoint": boolean, "nonroot-devices": boolean, "kine-tls": boolean,
}

var aliases = map[string]string{
	"c": "config", "d": "data-dir", "o": "write-kubeconfig", "t": "token", "s": "server", "i": "node-ip",
}

// environment are the variables that stand for flags, of which none may be repeated.
var environment = map[string]string{
	"K3S_CONFIG_FILE": "config", "K3S_DEBUG": "debug", "K3S_TOKEN": "token", "K3S_TOKEN_FILE": "token-file",
	"K3S_AGENT_TOKEN": "agent-token", "K3S_AGENT_TOKEN_FILE": "agent-token-file", "K3S_URL": "server",
	"K3S_CLUSTER_INIT": "cluster-init", "K3S_CLUSTER_RESET": "cluster-reset",
	"K3S_KUBECONFIG_OUTPUT": "write-kubeconfig", "K3S_KUBECONFIG_MODE": "write-kubeconfig-mode",
	"K3S_KUBECONFIG_GROUP": "write-kubeconfig-group", "K3S_NODE_NAME": "node-name", "K3S_DATA_DIR": "data-dir",
	"K3S_DATASTORE_ENDPOINT": "datastore-endpoint", "K3S_RESOLV_CONF": "resolv-conf", "K3S_SELINUX": "selinux",
	"K3S_LB_SERVER_PORT": "lb-server-port", "K3S_VPN_AUTH": "vpn-auth", "K3S_VPN_AUTH_FILE": "vpn-auth-file",
}

// options are the values of the flags that were given somewhere.
type options map[string][]string

func (o options) text(flag, otherwise string) string {
	if values := o[flag]; len(values) > 0 {
		return values[len(values)-1]
	}
	return otherwise
}

func (o options) bool(flag string) bool { return o.text(flag, "false") == "true" }

// list splits its values at commas, as k3s does.
func (o options) list(flag string) []string {
	var all []string
	for _, value := range o[flag] {
		for _, part := range strings.Split(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// parseOptions merges what the command line, config.yaml and the environment say, in this order of precedence: k3s
// puts the values of its files before the arguments of the command line, so that repeated flags add up, and the
// environment only gives defaults (k3s-io/k3s: pkg/configfilearg/parser.go, pkg/cli/cmds/server.go).
func parseOptions(command string, args []string, getenv func(string) string) (options, error) {
	given, err := parseArgs(args)
	if err != nil {
		return nil, err
	}
	merged := options{}
	for variable, flag := range environment {
		if value := getenv(variable); value != "" {
			merged[flag] = []string{value}
		}
	}
	// Here alone the environment wins over the command line.
	file := merged.text("config", given.text("config", defaultConfig))
	settings, err := readConfig(command, file)
	if err != nil {
		return nil, err
	}
	for flag, values := range settings {
		merged[flag] = values
	}
	for flag, values := range given {
		if flags[flag] == list {
			values = append(append([]string{}, settings[flag]...), values...)
		}
		merged[flag] = values
	}
	if command == "agent" && merged.text("server", "") == "" {
		return nil, fmt.Errorf("--server is required")
	}
	return merged, nil
}

func parseArgs(args []string) (options, error) {
	parsed := options{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if !strings.HasPrefix(arg, "-") {
			return nil, fmt.Errorf("unexpected argument %q", arg)
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if long, ok := aliases[name]; ok {
			name = long
		}
		kind, known := flags[name]
		switch {
		case !known:
			return nil, fmt.Errorf("flag provided but not defined: -%s", name)
		case kind == boolean && !hasValue:
			value = "true"
		case !hasValue:
			if len(args) == 0 {
				return nil, fmt.Errorf("flag needs an argument: -%s", name)
			}
			value, args = args[0], args[1:]
		}
		if kind == list {
			parsed[name] = append(parsed[name], value)
		} else {
			parsed[name] = []string{value}
		}
	}
	return parsed, nil
}

// readConfig reads config.yaml and then the files of config.yaml.d with the suffixes .yaml and .yml, in any case, in the
// order of their names: the last value of a key is used, and a key with `+` behind it adds to the earlier values. As with
// k3s, a server skips a key that it does not know, and an agent refuses it.
func readConfig(command, file string) (options, error) {
	merged := options{}
	files := []string{file}
	more, _ := os.ReadDir(file + ".d")
	for _, entry := range more {
		name := strings.ToLower(entry.Name())
		if !entry.IsDir() && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")) {
			files = append(files, filepath.Join(file+".d", entry.Name()))
		}
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		keys := map[string]any{}
		if err := yaml.Unmarshal(content, &keys); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		// A key with `+` comes behind the same one without.
		names := make([]string, 0, len(keys))
		for key := range keys {
			names = append(names, key)
		}
		sort.Strings(names)
		for _, key := range names {
			value := keys[key]
			name, add := strings.CutSuffix(key, "+")
			if long, ok := aliases[name]; ok {
				name = long
			}
			if _, known := flags[name]; !known && command == "agent" {
				return nil, fmt.Errorf("flag provided but not defined: -%s", name)
			} else if !known {
				log.Printf("level=warning msg=\"Unknown flag --%s found in %s, skipping\"", name, filepath.Base(path))
				continue
			}
			values := valuesOf(value)
			if add {
				values = append(merged[name], values...)
			}
			merged[name] = values
		}
	}
	return merged, nil
}

func valuesOf(value any) []string {
	items, isList := value.([]any)
	if !isList {
		items = []any{value}
	}
	var values []string
	for _, item := range items {
		if item != nil {
			values = append(values, fmt.Sprint(item))
		}
	}
	return values
}
