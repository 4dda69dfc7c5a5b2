package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// agentDoor hands nodes that know the token what they need.
type agentDoor struct {
	pki     *pki
	token   string
	network network
}

func (d *agentDoor) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	_, password, _ := request.BasicAuth()
	if subtle.ConstantTimeCompare([]byte(password), []byte(d.token)) != 1 {
		http.Error(answer, "not authorized", http.StatusUnauthorized)
		return
	}
	name, ip := request.FormValue("node"), request.FormValue("ip")
	if request.URL.Path != "/v1-k3s/stand-in-node" || name == "" || net.ParseIP(ip) == nil {
		http.NotFound(answer, request)
		return
	}
	b, err := bundleFor(d.pki, name, ip)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusInternalServerError)
		return
	}
	b.Network = d.network
	json.NewEncoder(answer).Encode(b)
}

// joinServer is `k3s agent`.
func joinServer(ctx context.Context, s *supervisor, o options, n node) error {
	server := strings.TrimSuffix(o.text("server", ""), "/")
	token := o.text("token", "")
	if file := o.text("token-file", ""); token == "" && file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		token = strings.TrimSpace(string(content))
	}
	if token == "" {
		return errors.New("--token is required")
	}
	var b bundle
	err := until(ctx, 5*time.Minute, server, func() bool {
		joined, err := fetchBundle(ctx, server, token, n)
		if err != nil {
			log.Printf("level=error msg=\"Failed to retrieve agent configuration: %v\"", err)
			sleep(ctx, 2*time.Second)
			return false
		}
		b = joined
		return true
	})
	if err != nil {
		return err
	}
	a := &agent{node: n, network: b.Network, options: o, supervisor: s, server: server}
	if err := a.writeBundle(b, nil); err != nil {
		return err
	}
	if err := a.startRuntime(ctx); err != nil {
		return err
	}
	return a.startNode(ctx)
}

// fetchBundle checks the server's CA by the hash in the token before it shows the password.
func fetchBundle(ctx context.Context, server, token string, n node) (bundle, error) {
	_, password, caHash, err := splitToken(token)
	if err != nil {
		return bundle{}, err
	}
	ca, err := fetch(ctx, &tls.Config{InsecureSkipVerify: true}, server+"/cacerts", "")
	if err != nil {
		return bundle{}, err
	}
	if caHash != "" && caHash != fmt.Sprintf("%x", sha256Sum(ca)) {
		return bundle{}, errors.New("token CA hash does not match the Cluster CA certificate hash")
	}
	query := url.Values{"node": {n.name}, "ip": {n.ip}}
	content, err := fetch(ctx, &tls.Config{RootCAs: poolOf(ca)}, server+"/v1-k3s/stand-in-node?"+query.Encode(), password)
	if err != nil {
		return bundle{}, err
	}
	b := bundle{}
	return b, json.NewDecoder(bytes.NewReader(content)).Decode(&b)
}

func fetch(ctx context.Context, config *tls.Config, address, password string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if password != "" {
		request.SetBasicAuth("node", password)
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, content)
	}
	return content, err
}
