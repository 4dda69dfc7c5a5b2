package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// dynamicCert is the certificate of port 6443. As with k3s it only ever gains names: what is in the cached
// file and in the Secret kube-system/k3s-serving is kept, and names of tls-san that are new are added.
type dynamicCert struct {
	ca      *authority
	file    string
	current atomic.Pointer[tls.Certificate]
	names   []string
}

// storedSecret is the Secret, which is also what k3s writes to tls/dynamic-cert.json.
type storedSecret struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   map[string]any    `json:"metadata"`
	Data       map[string]string `json:"data"`
	Type       string            `json:"type"`
}

func newDynamicCert(ca *authority, file string, sans []string) (*dynamicCert, error) {
	d := &dynamicCert{ca: ca, file: file}
	if content, err := os.ReadFile(file); err == nil {
		secret := storedSecret{}
		if json.Unmarshal(content, &secret) == nil {
			d.take(&secret)
		}
	}
	return d, d.add(sans)
}

// take uses a stored certificate, if this CA signed it.
func (d *dynamicCert) take(secret *storedSecret) {
	cert, _ := base64.StdEncoding.DecodeString(secret.Data["tls.crt"])
	key, _ := base64.StdEncoding.DecodeString(secret.Data["tls.key"])
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || leaf.CheckSignatureFrom(d.ca.cert) != nil {
		return
	}
	d.names = namesOf(leaf)
	d.current.Store(&pair)
}

// add issues a new certificate when a name is not in the present one.
func (d *dynamicCert) add(names []string) error {
	known := len(d.names)
	for _, name := range names {
		if !slices.Contains(d.names, name) {
			d.names = append(d.names, name)
		}
	}
	if d.current.Load() != nil && len(d.names) == known {
		return nil
	}
	keyFile := d.file + ".key.tmp"
	defer os.Remove(keyFile)
	key, err := ensureKey(keyFile)
	if err != nil {
		return err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	who := subject{name: "k3s", org: []string{"k3s"}, sans: d.names, usages: serverUse}
	certPEM, err := d.ca.sign(key.Public(), who)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return err
	}
	d.current.Store(&pair)
	log.Printf("level=info msg=\"certificate CN=k3s,O=k3s signed for %s\"", strings.Join(d.names, " "))
	content, err := json.Marshal(d.secret(certPEM, keyPEM))
	if err != nil {
		return err
	}
	return os.WriteFile(d.file, content, 0o600)
}

func (d *dynamicCert) secret(certPEM, keyPEM []byte) *storedSecret {
	annotations := map[string]string{"listener.cattle.io/static": "true"}
	for _, name := range d.names {
		annotations["listener.cattle.io/cn-"+strings.ReplaceAll(name, ":", "_")] = name
	}
	encoded := base64.StdEncoding.EncodeToString
	return &storedSecret{
		APIVersion: "v1", Kind: "Secret", Type: "kubernetes.io/tls",
		Metadata: map[string]any{"name": "k3s-serving", "namespace": "kube-system", "annotations": annotations},
		Data:     map[string]string{"tls.crt": encoded(certPEM), "tls.key": encoded(keyPEM)},
	}
}

// sync merges the certificate with the one in the cluster, and stores the result there.
func (d *dynamicCert) sync(ctx context.Context, api *client) error {
	const path = "/api/v1/namespaces/kube-system/secrets/k3s-serving"
	stored := storedSecret{}
	found, err := api.get(ctx, path, &stored)
	if err != nil {
		return err
	}
	if found {
		if err := d.add(annotatedNames(stored.Metadata)); err != nil {
			return err
		}
	}
	content, err := os.ReadFile(d.file)
	if err != nil {
		return err
	}
	return api.apply(ctx, path, content)
}

func annotatedNames(metadata map[string]any) []string {
	var names []string
	annotations, _ := metadata["annotations"].(map[string]any)
	for key, name := range annotations {
		if strings.HasPrefix(key, "listener.cattle.io/cn-") {
			names = append(names, fmt.Sprint(name))
		}
	}
	slices.Sort(names)
	return names
}
