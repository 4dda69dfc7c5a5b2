package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	certLifetime = 365 * 24 * time.Hour
	// Certificates that end sooner than this are reissued at the start, as k3s does.
	renewBefore = 120 * 24 * time.Hour
)

// authority is a CA that signs the node's certificates.
type authority struct {
	file string
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
	// fresh says that it was created just now: everything it signs has to be signed again.
	fresh bool
}

// ensureCA reads NAME.crt and NAME.key, or makes them.
func ensureCA(file, prefix string) (*authority, error) {
	certPEM, err := os.ReadFile(file + ".crt")
	if err == nil {
		pair, err := tls.LoadX509KeyPair(file+".crt", file+".key")
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(pair.Certificate[0])
		return &authority{file: file, cert: cert, key: pair.PrivateKey.(crypto.Signer), pem: certPEM}, err
	}
	key, err := ensureKey(file + ".key")
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: fmt.Sprintf("%s-ca@%d", prefix, time.Now().Unix())},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(caLifetime), SubjectKeyId: keyID(key),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, _ := x509.ParseCertificate(der)
	ca := &authority{file: file, cert: cert, key: key, pem: encode("CERTIFICATE", der), fresh: true}
	return ca, os.WriteFile(file+".crt", ca.pem, 0o644)
}

// subject is who a certificate is for.
type subject struct {
	name    string
	org     []string
	sans    []string
	usages  []x509.ExtKeyUsage
	keyFile string // where it is not the certificate's own name
}

var (
	clientUse = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	serverUse = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	bothUses  = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
)

// ensure creates FILE.crt and FILE.key where they are missing, end soon, or are not for this subject any more.
// It does not reissue a certificate that has more names than those asked for.
func (ca *authority) ensure(file string, who subject) error {
	if !ca.fresh && ca.isGood(file, who) {
		return nil
	}
	key, err := ensureKey(file + ".key")
	if err != nil {
		return err
	}
	certPEM, err := ca.sign(key.Public(), who)
	if err != nil {
		return err
	}
	return os.WriteFile(file+".crt", certPEM, 0o644)
}

func (ca *authority) isGood(file string, who subject) bool {
	pair, err := tls.LoadX509KeyPair(file+".crt", file+".key")
	if err != nil {
		return false
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || time.Until(cert.NotAfter) < renewBefore || cert.CheckSignatureFrom(ca.cert) != nil {
		return false
	}
	names := namesOf(cert)
	missing := slices.ContainsFunc(who.sans, func(san string) bool { return !slices.Contains(names, san) })
	return cert.Subject.CommonName == who.name && slices.Equal(cert.Subject.Organization, who.org) && !missing
}

// sign issues a certificate, followed by that of the CA.
func (ca *authority) sign(public crypto.PublicKey, who subject) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: who.name, Organization: who.org},
		NotBefore: ca.cert.NotBefore, NotAfter: time.Now().Add(certLifetime), ExtKeyUsage: who.usages,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, AuthorityKeyId: ca.cert.SubjectKeyId,
	}
	for _, san := range who.sans {
		if ip := net.ParseIP(san); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
	return append(encode("CERTIFICATE", der), ca.pem...), err
}

// namesOf are a certificate's alternative names, as they are written in tls-san.
func namesOf(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func ensureKey(file string) (crypto.Signer, error) {
	if content, err := os.ReadFile(file); err == nil {
		return parseKey(content)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(file, encode("EC PRIVATE KEY", der), 0o600)
}

// ensureServiceKey makes the RSA key that signs the tokens of service accounts.
func ensureServiceKey(file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return os.WriteFile(file, encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), 0o600)
}

func parseKey(content []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("no key in the file")
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return key.(crypto.Signer), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 62))
	if err != nil {
		panic(err)
	}
	return number
}

func keyID(key crypto.Signer) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	sum := sha1.Sum(der)
	return sum[:]
}

// pki are the CAs under server/tls.
type pki struct {
	client, server, requestHeader, etcdServer, etcdPeer *authority
}

// ensurePKI makes what k3s has in server/tls, under the names that k3s gives the files.
func ensurePKI(tlsDir, clusterDomain string, sans []string) (*pki, error) {
	file := func(name string) string { return filepath.Join(tlsDir, name) }
	for _, folder := range []string{tlsDir, file("etcd")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
	}
	p := &pki{}
	cas := []struct {
		at           **authority
		file, prefix string
	}{
		{&p.client, "client-ca", "k3s-client"}, {&p.server, "server-ca", "k3s-server"},
		{&p.requestHeader, "request-header-ca", "k3s-request-header"},
		{&p.etcdServer, "etcd/server-ca", "etcd-server"}, {&p.etcdPeer, "etcd/peer-ca", "etcd-peer"},
	}
	for _, ca := range cas {
		made, err := ensureCA(file(ca.file), ca.prefix)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ca.file, err)
		}
		*ca.at = made
	}
	for name, ca := range map[string]*authority{"client-ca.nochain.crt": p.client, "server-ca.nochain.crt": p.server} {
		if err := os.WriteFile(file(name), ca.pem, 0o644); err != nil {
			return nil, err
		}
	}
	if err := ensureServiceKey(file("service.key")); err != nil {
		return nil, err
	}
	current, err := os.ReadFile(file("service.key"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file("service.current.key"), current, 0o600); err != nil {
		return nil, err
	}
	masters := []string{"system:masters"}
	kubernetes := append([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + clusterDomain}, sans...)
	certificates := []struct {
		ca   *authority
		file string
		who  subject
	}{
		{p.client, "client-admin", subject{name: "system:admin", org: masters, usages: clientUse}},
		{p.client, "client-supervisor", subject{name: "system:k3s-supervisor", org: masters, usages: clientUse}},
		{p.client, "client-controller", subject{name: "system:kube-controller-manager", usages: clientUse}},
		{p.client, "client-scheduler", subject{name: "system:kube-scheduler", usages: clientUse}},
		{p.client, "client-kube-apiserver", subject{name: "system:apiserver", org: masters, usages: clientUse}},
		{p.client, "client-kube-proxy", subject{name: "system:kube-proxy", usages: clientUse}},
		{p.client, "client-k3s-controller", subject{name: "system:k3s-controller", usages: clientUse}},
		{p.client, "client-k3s-cloud-controller", subject{name: "k3s-cloud-controller-manager", usages: clientUse}},
		{p.server, "serving-kube-apiserver", subject{name: "kube-apiserver", sans: kubernetes, usages: serverUse}},
		{p.requestHeader, "client-auth-proxy", subject{name: "system:auth-proxy", usages: clientUse}},
		{p.etcdServer, "etcd/client", subject{name: "etcd-client", usages: clientUse}},
		{p.etcdServer, "etcd/server-client", subject{name: "etcd-server", sans: sans, usages: bothUses}},
		{p.etcdPeer, "etcd/peer-server-client", subject{name: "etcd-peer", sans: sans, usages: bothUses}},
	}
	for _, certificate := range certificates {
		if err := certificate.ca.ensure(file(certificate.file), certificate.who); err != nil {
			return nil, fmt.Errorf("%s: %w", certificate.file, err)
		}
	}
	for _, name := range []string{"client-kubelet.key", "serving-kubelet.key"} {
		if _, err := ensureKey(file(name)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// writeIfChanged leaves a file that is right untouched.
func writeIfChanged(file string, content []byte, mode os.FileMode) error {
	if old, err := os.ReadFile(file); err != nil || !bytes.Equal(old, content) {
		if err := os.WriteFile(file, content, mode); err != nil {
			return err
		}
	}
	return os.Chmod(file, mode)
}
