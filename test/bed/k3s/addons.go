package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// addons is what k3s does in the cluster: labels of the node, addresses of LoadBalancer services, and what
// lies in server/manifests.
type addons struct {
	api       *client
	node      node
	network   network
	options   options
	bin       string
	advertise string
	manifests string
	applied   map[string]string
}

// rbac lets the agents read the nodes.
const rbac = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: system:k3s-controller }
rules:
  - { apiGroups: [""], resources: [nodes], verbs: [get, list, watch] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: system:k3s-controller }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:k3s-controller }
subjects:
  - { apiGroup: rbac.authorization.k8s.io, kind: User, name: system:k3s-controller }
`

// publish says behind the service `kubernetes` where the API server is found.
func (a *addons) publish(ctx context.Context) error {
	port := a.options.text("https-listen-port", "6443")
	slice := fmt.Sprintf(`{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4",
		"metadata":{"name":"kubernetes","labels":{"kubernetes.io/service-name":"kubernetes"}},
		"endpoints":[{"addresses":[%q],"conditions":{"ready":true}}],
		"ports":[{"name":"https","port":%s,"protocol":"TCP"}]}`, a.advertise, port)
	endpoints := fmt.Sprintf(`{"apiVersion":"v1","kind":"Endpoints",
		"metadata":{"name":"kubernetes","labels":{"endpointslice.kubernetes.io/skip-mirror":"true"}},
		"subsets":[{"addresses":[{"ip":%q}],"ports":[{"name":"https","port":%s,"protocol":"TCP"}]}]}`, a.advertise, port)
	if err := a.api.apply(ctx, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", []byte(slice)); err != nil {
		return err
	}
	return a.api.apply(ctx, "/api/v1/namespaces/default/endpoints/kubernetes", []byte(endpoints))
}

func (a *addons) run(ctx context.Context) {
	a.applied = map[string]string{}
	packaged := map[string]string{"rolebindings.yaml": rbac}
	if !a.disabled("coredns") {
		packaged["coredns.yaml"] = coreDNS(a.network, a.node)
	}
	for name, text := range packaged {
		if err := writeIfChanged(filepath.Join(a.manifests, name), []byte(text), 0o600); err != nil {
			log.Printf("level=error msg=%q", err)
		}
	}
	labelled := false
	for ; ctx.Err() == nil; sleep(ctx, 2*time.Second) {
		if !labelled {
			labelled = a.label(ctx) == nil
		}
		a.applyManifests(ctx)
		if !a.disabled("servicelb") {
			if err := a.balance(ctx); err != nil {
				log.Printf("level=error msg=%q", err)
			}
		}
	}
}

func (a *addons) disabled(component string) bool {
	return slices.Contains(a.options.list("disable"), component)
}

// label gives the node the labels and annotations that k3s gives it.
func (a *addons) label(ctx context.Context) error {
	args, err := json.Marshal(append([]string{"server"}, os.Args[min(2, len(os.Args)):]...))
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"labels": map[string]string{"node-role.kubernetes.io/control-plane": "true", "beta.kubernetes.io/instance-type": "k3s"},
		"annotations": map[string]string{
			"k3s.io/hostname": a.node.name, "k3s.io/internal-ip": a.node.ip, "k3s.io/node-args": string(args),
		},
	}})
	if err != nil {
		return err
	}
	return a.api.patch(ctx, "/api/v1/nodes/"+a.node.name, "application/merge-patch+json", patch)
}

// applyManifests applies the files of server/manifests that are new or have changed.
func (a *addons) applyManifests(ctx context.Context) {
	files, _ := filepath.Glob(filepath.Join(a.manifests, "*.y*ml"))
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil || a.disabled(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))) {
			continue
		}
		if _, err := os.Stat(file + ".skip"); err == nil {
			continue
		}
		hash := fmt.Sprintf("%x", sha256Sum(content))
		if a.applied[file] == hash {
			continue
		}
		kubeconfig := filepath.Join(filepath.Dir(a.manifests), "cred/admin.kubeconfig")
		command := exec.CommandContext(ctx, filepath.Join(a.bin, "kubectl"), "--kubeconfig="+kubeconfig, "--cache-dir="+filepath.Join(filepath.Dir(a.manifests), "etc/kubectl"),
			"apply", "--server-side", "--force-conflicts", "--field-manager=deploy@"+a.node.name, "--filename="+file)
		if output, err := command.CombinedOutput(); err != nil {
			log.Printf("level=error msg=\"Failed to process config: %s\" error=%q", file, output)
			continue
		}
		log.Printf("level=info msg=\"Applied %s\"", file)
		a.applied[file] = hash
	}
}

// balance gives services of type LoadBalancer the node's address. kube-proxy then takes what comes to their
// ports; k3s does it with a pod on each node.
func (a *addons) balance(ctx context.Context) error {
	services := struct {
		Items []struct {
			Metadata struct{ Name, Namespace string }
			Spec     struct {
				Type              string
				LoadBalancerClass *string
			}
			Status struct {
				LoadBalancer struct {
					Ingress []struct{ IP string }
				}
			}
		}
	}{}
	if _, err := a.api.get(ctx, "/api/v1/services", &services); err != nil {
		return err
	}
	address := oneOf(a.node.externalIP, a.node.ip)
	for _, service := range services.Items {
		ingress := service.Status.LoadBalancer.Ingress
		if service.Spec.Type != "LoadBalancer" || service.Spec.LoadBalancerClass != nil ||
			len(ingress) == 1 && ingress[0].IP == address {
			continue
		}
		status := fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q,"ipMode":"VIP"}]}}}`, address)
		path := fmt.Sprintf("/api/v1/namespaces/%s/services/%s/status", service.Metadata.Namespace, service.Metadata.Name)
		if err := a.api.patch(ctx, path, "application/merge-patch+json", []byte(status)); err != nil {
			return err
		}
	}
	return nil
}
