package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// tokens let nodes join.
type tokens struct{ server, agent string }

// ensureTokens keeps the passwords in cred/passwd, and writes them with the CA's hash before them to the files
// that administrators know: token, node-token and agent-token.
func ensureTokens(server string, o options, p *pki) (tokens, error) {
	passwd := filepath.Join(server, "cred/passwd")
	kept := map[string]string{}
	content, err := os.ReadFile(passwd)
	if err != nil && !os.IsNotExist(err) {
		return tokens{}, err
	}
	for _, line := range strings.Split(string(content), "\n") {
		if fields := strings.Split(line, ","); len(fields) >= 2 {
			kept[fields[1]] = fields[0]
		}
	}
	given, err := givenToken(o, "token")
	if err != nil {
		return tokens{}, err
	}
	if given != "" && kept["server"] != "" && given != kept["server"] {
		return tokens{}, errors.New("starting kubernetes: preparing server: bootstrap data already found and encrypted with different token")
	}
	t := tokens{server: oneOf(given, kept["server"], random(16))}
	agent, err := givenToken(o, "agent-token")
	if err != nil {
		return tokens{}, err
	}
	t.agent = oneOf(agent, t.server)
	lines := fmt.Sprintf("%s,node,node,k3s:agent\n%s,server,server,k3s:server\n", t.agent, t.server)
	if err := writeIfChanged(passwd, []byte(lines), 0o600); err != nil {
		return t, err
	}
	hash := sha256.Sum256(p.server.pem)
	prefix := "K10" + hex.EncodeToString(hash[:]) + "::"
	if err := writeIfChanged(filepath.Join(server, "token"), []byte(prefix+"server:"+t.server+"\n"), 0o600); err != nil {
		return t, err
	}
	nodeToken, agentToken := filepath.Join(server, "node-token"), filepath.Join(server, "agent-token")
	for _, file := range []string{nodeToken, agentToken} {
		os.Remove(file)
	}
	if err := os.Symlink(filepath.Join(server, "token"), nodeToken); err != nil {
		return t, err
	}
	if agent == "" {
		return t, os.Symlink(filepath.Join(server, "token"), agentToken)
	}
	return t, os.WriteFile(agentToken, []byte(prefix+"node:"+t.agent+"\n"), 0o600)
}

// givenToken is the password in a token flag or in its -file; without the hash of the CA and the user.
func givenToken(o options, flag string) (string, error) {
	token := o.text(flag, "")
	if file := o.text(flag+"-file", ""); token == "" && file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		token = strings.TrimSpace(string(content))
	}
	_, password, _, err := splitToken(token)
	return password, err
}

// splitToken takes K10<hash>::<user>:<password> apart; a password alone is a token too.
func splitToken(token string) (user, password, caHash string, err error) {
	if !strings.HasPrefix(token, "K10") {
		return "", token, "", nil
	}
	hash, credentials, found := strings.Cut(strings.TrimPrefix(token, "K10"), "::")
	user, password, named := strings.Cut(credentials, ":")
	if !found || !named || len(hash) != sha256.Size*2 {
		return "", "", "", errors.New("invalid token CA hash length")
	}
	return user, password, hash, nil
}

func oneOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

func random(bytes int) string {
	buffer := make([]byte, bytes)
	if _, err := rand.Read(buffer); err != nil {
		panic(err)
	}
	return hex.EncodeToString(buffer)
}

// writeServerKubeconfigs writes those of the server's own programs, and the administrator's k3s.yaml.
func writeServerKubeconfigs(server string, o options) error {
	tls := func(name string) string { return filepath.Join(server, "tls", name) }
	for file, client := range map[string]string{
		"admin": "client-admin", "supervisor": "client-supervisor", "controller": "client-controller",
		"scheduler": "client-scheduler", "api-server": "client-kube-apiserver", "cloud-controller": "client-k3s-cloud-controller",
	} {
		text := fileKubeconfig(apiServer, tls("server-ca.crt"), tls(client+".crt"), tls(client+".key"))
		if err := writeIfChanged(filepath.Join(server, "cred", file+".kubeconfig"), text, 0o600); err != nil {
			return err
		}
	}
	mode := os.FileMode(0o600)
	if given := o.text("write-kubeconfig-mode", ""); given != "" {
		parsed, err := strconv.ParseUint(given, 8, 32)
		if err != nil {
			log.Printf("level=error msg=\"Failed to set kubeconfig to mode %s: %v\"", given, err)
		} else {
			mode = os.FileMode(parsed)
		}
	}
	var data [3]string
	for i, name := range []string{"server-ca.crt", "client-admin.crt", "client-admin.key"} {
		content, err := os.ReadFile(tls(name))
		if err != nil {
			return err
		}
		data[i] = base64.StdEncoding.EncodeToString(content)
	}
	address := oneOf(o.text("bind-address", ""), "127.0.0.1")
	text := fmt.Sprintf(`apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: %s
    server: https://%s:%s
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
users:
- name: default
  user:
    client-certificate-data: %s
    client-key-data: %s
`, data[0], address, o.text("https-listen-port", "6443"), data[1], data[2])
	file := o.text("write-kubeconfig", defaultKubeconfig)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		return err
	}
	if group := o.text("write-kubeconfig-group", ""); group != "" {
		if found, err := user.LookupGroup(group); err == nil {
			gid, _ := strconv.Atoi(found.Gid)
			if err := os.Chown(file, 0, gid); err != nil {
				return err
			}
		}
	}
	log.Printf("level=info msg=\"Wrote kubeconfig %s\"", file)
	return os.Chmod(file, mode)
}

// fileKubeconfig names the certificates by their paths.
func fileKubeconfig(server, ca, cert, key string) []byte {
	return []byte(fmt.Sprintf(`apiVersion: v1
clusters:
- cluster:
    server: %s
    certificate-authority: %s
  name: local
contexts:
- context:
    cluster: local
    namespace: default
    user: user
  name: Default
current-context: Default
kind: Config
users:
- name: user
  user:
    client-certificate: %s
    client-key: %s
`, server, ca, cert, key))
}

func sha256Sum(content []byte) []byte {
	sum := sha256.Sum256(content)
	return sum[:]
}
