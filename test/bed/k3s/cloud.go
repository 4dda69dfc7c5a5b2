package main

import (
	"context"
	"encoding/json"
	"log"
	"time"
)

const (
	// What a kubelet with an external cloud provider writes its --node-ip to, and the taint with which it registers
	// (k8s.io/cloud-provider/api).
	providedAddress = "alpha.kubernetes.io/provided-node-ip"
	uninitialized   = "node.cloudprovider.kubernetes.io/uninitialized"
	// How often k3s' cloud controller looks at the addresses of nodes (k3s: pkg/daemons/control/server.go,
	// node-status-update-frequency).
	addressInterval = time.Minute
)

type nodeAddress struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

type nodeObject struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Taints []map[string]any `json:"taints"`
	} `json:"spec"`
	Status struct {
		Addresses []nodeAddress `json:"addresses"`
	} `json:"status"`
}

// runCloudController does for nodes what k3s' cloud controller does: a new one loses its taint within a second, and
// one whose address was changed gets the new one up to a minute later.
func runCloudController(ctx context.Context, api *client) {
	looked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		var nodes struct {
			Items []nodeObject `json:"items"`
		}
		if found, err := api.get(ctx, "/api/v1/nodes", &nodes); !found || err != nil {
			continue // the API server is restarting
		}
		due := time.Since(looked) >= addressInterval
		if due {
			looked = time.Now()
		}
		for _, node := range nodes.Items {
			err := node.initialize(ctx, api)
			if due && err == nil {
				err = node.updateAddress(ctx, api)
			}
			if err != nil {
				log.Printf("level=warning msg=\"node %s: %v\"", node.Metadata.Name, err)
			}
		}
	}
}

// initialize takes the taint of a new node away.
func (n nodeObject) initialize(ctx context.Context, api *client) error {
	kept := []map[string]any{}
	for _, taint := range n.Spec.Taints {
		if taint["key"] != uninitialized {
			kept = append(kept, taint)
		}
	}
	if len(kept) == len(n.Spec.Taints) {
		return nil
	}
	return n.patch(ctx, api, "", map[string]any{"spec": map[string]any{"taints": kept}})
}

// updateAddress writes the address that the kubelet was given, where the node has another one.
func (n nodeObject) updateAddress(ctx context.Context, api *client) error {
	wanted := n.Metadata.Annotations[providedAddress]
	changed := false
	for i, address := range n.Status.Addresses {
		if address.Type == "InternalIP" && wanted != "" && address.Address != wanted {
			n.Status.Addresses[i].Address, changed = wanted, true
		}
	}
	if !changed {
		return nil
	}
	return n.patch(ctx, api, "/status", map[string]any{"status": map[string]any{"addresses": n.Status.Addresses}})
}

// patch replaces whole lists: a strategic merge would add to them.
func (n nodeObject) patch(ctx context.Context, api *client, subresource string, body any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return api.patch(ctx, "/api/v1/nodes/"+n.Metadata.Name+subresource, "application/merge-patch+json", content)
}
