package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// gateway is what answers on port 6443: a little of k3s' supervisor, and the API server behind it.
type gateway struct {
	clientCAs *x509.CertPool
	proxy     *httputil.ReverseProxy
	serverCA  []byte
	ready     atomic.Bool
	agents    http.Handler
}

func newGateway(p *pki, tlsDir string, apiServer string, agents http.Handler) (*gateway, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(tlsDir, "client-auth-proxy.crt"), filepath.Join(tlsDir, "client-auth-proxy.key"))
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(apiServer)
	if err != nil {
		return nil, err
	}
	g := &gateway{clientCAs: poolOf(p.client.pem), serverCA: p.server.pem, agents: agents}
	g.proxy = &httputil.ReverseProxy{
		FlushInterval: -1, // watches
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(answer http.ResponseWriter, _ *http.Request, _ error) {
			refuse(answer, http.StatusServiceUnavailable, "ServiceUnavailable", "apiserver not ready")
		},
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: poolOf(p.server.pem), Certificates: []tls.Certificate{pair}},
			TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1: exec upgrades it
			MaxIdleConnsPerHost: 100,
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			g.identify(r.In, r.Out.Header)
		},
	}
	return g, nil
}

// identify tells the API server who sent a request by certificate, and lets nobody say so themselves.
func (g *gateway) identify(request *http.Request, header http.Header) {
	for name := range header {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Remote-") {
			header.Del(name)
		}
	}
	if cert := g.verified(request); cert != nil {
		header.Set("X-Remote-User", cert.Subject.CommonName)
		for _, group := range cert.Subject.Organization {
			header.Add("X-Remote-Group", group)
		}
	}
}

func (g *gateway) verified(request *http.Request) *x509.Certificate {
	if request.TLS == nil || len(request.TLS.PeerCertificates) == 0 {
		return nil
	}
	cert := request.TLS.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, other := range request.TLS.PeerCertificates[1:] {
		intermediates.AddCert(other)
	}
	options := x509.VerifyOptions{Roots: g.clientCAs, Intermediates: intermediates, KeyUsages: clientUse}
	if _, err := cert.Verify(options); err != nil {
		return nil
	}
	return cert
}

func (g *gateway) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	switch {
	case request.URL.Path == "/cacerts":
		answer.Header().Set("Content-Type", "text/plain")
		answer.Write(g.serverCA)
	case request.URL.Path == "/ping":
		answer.Header().Set("Content-Type", "text/plain")
		answer.Write([]byte("pong"))
	case strings.HasPrefix(request.URL.Path, "/v1-k3s/"):
		g.agents.ServeHTTP(answer, request)
	case !g.ready.Load():
		refuse(answer, http.StatusServiceUnavailable, "ServiceUnavailable", "apiserver not ready")
	default:
		g.proxy.ServeHTTP(answer, request)
	}
}

// refuse answers as the API server does.
func refuse(answer http.ResponseWriter, code int, reason, message string) {
	answer.Header().Set("Content-Type", "application/json")
	answer.WriteHeader(code)
	fmt.Fprintf(answer, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":%q,"reason":%q,"code":%d}`,
		message, reason, code)
}

// serve listens; it returns when the port is open.
func (g *gateway) serve(address string, cert *dynamicCert, failed chan<- error) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:  g,
		ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.current.Load(), nil },
		},
	}
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	return nil
}

func poolOf(pem []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}
