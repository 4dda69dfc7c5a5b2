package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// client asks the API server as the administrator.
type client struct {
	server string
	http   *http.Client
}

func newClient(server, ca, cert, key string) (*client, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	caPEM, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: poolOf(caPEM), Certificates: []tls.Certificate{pair}}
	return &client{server: server, http: &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}}, nil
}

func (c *client) send(ctx context.Context, method, path, contentType string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, content, err
}

// get reads an object, and says whether it is there.
func (c *client) get(ctx context.Context, path string, into any) (bool, error) {
	status, content, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil || status == http.StatusNotFound {
		return false, err
	}
	if status != http.StatusOK {
		return false, fmt.Errorf("GET %s: %d %s", path, status, content)
	}
	return true, json.Unmarshal(content, into)
}

func (c *client) apply(ctx context.Context, path string, object []byte) error {
	return c.patch(ctx, path+"?fieldManager=k3s&force=true", "application/apply-patch+yaml", object)
}

func (c *client) patch(ctx context.Context, path, contentType string, body []byte) error {
	status, content, err := c.send(ctx, http.MethodPatch, path, contentType, body)
	if err == nil && status >= 300 {
		err = fmt.Errorf("PATCH %s: %d %s", path, status, content)
	}
	return err
}
