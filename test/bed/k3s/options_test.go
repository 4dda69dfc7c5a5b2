package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// The same cases as in pkg/configfilearg/parser_test.go of k3s-io/k3s, in our own words.
func TestPrecedence(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "config.yaml")
	write := func(file, text string) {
		os.MkdirAll(filepath.Dir(file), 0o755)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(config, "node-name: file\ntls-san: [a]\ndata-dir: /file\n")
	write(config+".d/1.YML", "tls-san+: [b]\n")
	write(config+".d/2.yaml", "tls-san+: c\ndata-dir: /drop-in\n")
	write(config+".d/3.json", "node-name: none\n")
	environment := map[string]string{"K3S_NODE_NAME": "environment", "K3S_TOKEN": "secret"}
	o, err := parseOptions("server", []string{"--config", config, "--tls-san", "d"}, func(name string) string { return environment[name] })
	if err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{"node-name": "file", "token": "secret", "data-dir": "/drop-in"} {
		if got := o.text(flag, ""); got != want {
			t.Errorf("%s is %q, not %q", flag, got, want)
		}
	}
	if got, want := o.list("tls-san"), []string{"a", "b", "c", "d"}; !reflect.DeepEqual(got, want) {
		t.Errorf("tls-san is %v, not %v", got, want)
	}
	o, err = parseOptions("server", []string{"--config", config, "--node-name=unit", "-d", "/unit"}, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if got := o.text("node-name", "") + o.text("data-dir", ""); got != "unit/unit" {
		t.Errorf("the command line does not win: %s", got)
	}
	if o, _ := parseOptions("server", []string{"--config", "/nowhere"}, func(name string) string { return environment[name] }); o.text("node-name", "") != "environment" {
		t.Error("the environment does not count where nothing else speaks")
	}
}
