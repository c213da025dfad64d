package personal

import (
	"encoding/json"
	"strings"
	"testing"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0123456789 me@there"

func TestCheck(t *testing.T) {
	for raw, want := range map[string]string{
		`{"hostname":"pc-{{.Labels.room}}","machine_id":"new"}`:              "",
		`{"authorized_keys":{"root":"` + key + `\n# mine\n"}}`:               "",
		`{"passwords":{"root":"!","ops":"$6$abcdefgh$0123456789"}}`:          "",
		`{"files":[{"path":"/etc/motd","mode":"0600","content":"x"}]}`:       "",
		`{"time_zone":"Europe/Berlin"}`:                                      "",
		`{}`:                                                                 "nothing is asked for",
		`{"hostnames":"x"}`:                                                  `unknown field "hostnames"`,
		`{"hostname":"pc_1"}`:                                                "RFC 1123",
		`{"hostname":"LocalHost"}`:                                           "a name of its own",
		`{"hostname":"localhost.localdomain"}`:                               "a name of its own",
		`{"hostname":"a.localhost"}`:                                         "a name of its own",
		`{"hostname":"-pc"}`:                                                 "RFC 1123",
		`{"hostname":"` + strings.Repeat("a", 65) + `"}`:                     "1 to 64",
		`{"hostname":"{{.Name"}`:                                             "hostname is not a template",
		`{"machine_id":"other"}`:                                             "new or keep",
		`{"passwords":{"root":"geheim"}}`:                                    "not a hash",
		`{"passwords":{"root":"$6$ab:cdefgh$0123456789"}}`:                   "not a hash",
		`{"passwords":{"a:b":"!"}}`:                                          "not the name of a user",
		`{"authorized_keys":{"root":"-----BEGIN OPENSSH PRIVATE KEY-----"}}`: "private key",
		`{"authorized_keys":{"root":"hello"}}`:                               "no public key",
		`{"authorized_keys":{"root":"# none"}}`:                              "has no key",
		`{"time_zone":"../../etc/shadow"}`:                                   "time_zone",
		`{"files":[{"path":"etc/motd","content":"x"}]}`:                      "from the root",
		`{"files":[{"path":"/etc/../x","content":"x"}]}`:                     "from the root",
		`{"files":[{"path":"/x","content":""},{"path":"/x","content":""}]}`:  "named twice",
		`{"hostname":"a","files":[{"path":"/etc/hostname","content":""}]}`:   "by hostname too",
		`{"files":[{"path":"/x","mode":"99","content":""}]}`:                 "not octal",
		`{"files":[{"path":"/x","content":"(sealed)"}]}`:                     "stands where something secret was",
		`{"seed":{"user_data":"(sealed)"}}`:                                  "stands where something secret was",
		`{"passwords":{"root":"(sealed)"}}`:                                  "stands where the secret of root was",
		`{"network":[{"dhcp":"yes"},{"mac":"52:54:00:00:00:02","addresses":["10.0.0.5/24","2001:db8::5/64"],
			"gateways":["10.0.0.1","fe80::1"],"dns":["1.1.1.1"],"search":["a.example"]}],"network_with":"netplan"}`: "",
		`{"network":[{"addresses":["{{.Labels.ip}}/24"],"gateways":["10.0.0.1"]}]}`: "",
		`{"network":[{"addresses":["10.0.0.5/31"]}]}`:                               "",
		`{"network":[{}]}`:                                                               "neither addresses nor DHCP",
		`{"network":[{"dhcp":"always"}]}`:                                                "yes, no, ipv4 or ipv6",
		`{"network":[{"dhcp":"yes","mac":"01:00:5e:00:00:01"}]}`:                         "not the MAC address",
		`{"network":[{"addresses":["10.0.0.5"]}]}`:                                       "prefix length",
		`{"network":[{"addresses":["10.0.0.0/24"]}]}`:                                    "of the network itself",
		`{"network":[{"addresses":["10.0.0.255/24"]}]}`:                                  "broadcast",
		`{"network":[{"addresses":["224.0.0.5/24"]}]}`:                                   "not that of a host",
		`{"network":[{"addresses":["fe80::1%eth0/64"]}]}`:                                "prefix length",
		`{"network":[{"addresses":["{{.Labels.ip}}/24"],"gateways":["10.0.0.256"]}]}`:    "no IP address",
		`{"network":[{"addresses":["10.0.0.5/24"],"gateways":["10.0.1.1"]}]}`:            "network of no address",
		`{"network":[{"addresses":["10.0.0.5/24"],"gateways":["10.0.0.5"]}]}`:            "own address",
		`{"network":[{"addresses":["10.0.0.5/24"],"gateways":["10.0.0.1","10.0.0.2"]}]}`: "second of its family",
		`{"network":[{"dhcp":"ipv4","gateways":["10.0.0.1"]}]}`:                          "give one too",
		`{"network":[{"dhcp":"yes","search":["a b"]}]}`:                                  "no domain",
		`{"network":[{"dhcp":"yes"},{"dhcp":"yes"}]}`:                                    "MAC address too",
		`{"network":[{"addresses":["10.0.0.5/24","10.0.0.5/24"]}]}`:                      "given twice",

		`{"network":[{"addresses":["10.0.0.5/24"]},` +
			`{"mac":"52:54:00:00:00:02","addresses":["10.0.0.5/24"]}]}`: "given twice",

		`{"hostname":"a","network_with":"netplan"}`:                                              "no [[network]]",
		`{"network":[{"dhcp":"yes"}],"network_with":"magic"}`:                                    "one of networkd",
		`{"network":[{"dhcp":"yes"}],"seed":{"network_config":"x"}}`:                             "give one of the two",
		`{"network":[{"dhcp":"yes"}],"files":[{"path":"/etc/network/interfaces","content":""}]}`: "by network too",

		`{"kernel_words":["console=ttyS0,115200","ip={{.Labels.ip}}"]}`: "",
		`{"kernel_words":["a b"]}`:                                      "not one word",
		`{"kernel_words":["a;b"]}`:                                      "not one word",
		`{"kernel_words":["a","a"]}`:                                    "given twice",
		`{"script":{"run":"#!/bin/sh\necho {{.MAC}}","timeout":"90s"}}`: "",
		`{"script":{"run":""}}`:                                         "run is empty",
		`{"script":{"run":"x","timeout":"2h"}}`:                         "none from 1s",
		`{"script":{"run":"#!sh\n"}}`:                                   "not a path from the root",
		`{"script":{"run":"#!/bin/sh\r\n"}}`:                            "CR LF",
		`{"script":{"run":"(sealed)"}}`:                                 "stands where something secret was",
		`{"loader_passphrase":"geheim {{ words"}`:                       "",
		`{"loader_passphrase":"geheim\nwords"}`:                         "a control character",
		`{"loader_passphrase":"(sealed)"}`:                              "stands where the secret was",
		`{"loader_passphrase":"geheim","windows":{"unattend":"<x/>"}}`:  "windows",
		`{"loader_passphrase":"` + strings.Repeat("geheim", 50) + `"}`:  "has 300 bytes",
		`{"hostname":"a"} {}`:                                           "something follows",
	} {
		_, err := Parse([]byte(raw))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error tells the password: %v", raw, err)
		}
	}
}

func TestResolve(t *testing.T) {
	s, err := Parse([]byte(`{"hostname":"pc-{{.Labels.room}}-{{lower .Serial}}","seed":{"user_data":"#cloud-config\n"},
		"passwords":{"root":"$6$abcdefgh$0123456789"},
		"files":[{"path":"/etc/motd","content":"{{.MAC}} {{.Session}}"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	v := Values{Node: "52-54-00-00-00-01", MAC: "52:54:00:00:00:01", Serial: "AB1", Session: "s7",
		Labels: map[string]string{"room": "210"}}
	d, err := s.Resolve(v)
	if err != nil {
		t.Fatal(err)
	}
	if d.Things.Hostname != "pc-210-ab1" || d.Things.Files[0].Content != "52:54:00:00:00:01 s7" ||
		d.Things.Seed.MetaData != "instance-id: s7-52-54-00-00-00-01\nlocal-hostname: \"pc-210-ab1\"\n" {
		t.Errorf("%+v, seed %+v", d.Things, d.Things.Seed)
	}
	if s.Files[0].Content != "{{.MAC}} {{.Session}}" || s.Seed.MetaData != "" {
		t.Error("the settings themselves have changed")
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseDocument(b); err != nil {
		t.Error(err)
	}
	v.Labels = nil
	if _, err := s.Resolve(v); err == nil || !strings.Contains(err.Error(), `no label "room": `) {
		t.Errorf("a label that is not there: %v", err)
	}
	v.Labels, v.Serial = map[string]string{"room": "2"}, "A B"
	if _, err := s.Resolve(v); err == nil || !strings.Contains(err.Error(), "RFC 1123") {
		t.Errorf("a name that cannot be: %v", err)
	}
	endless := Settings{Files: []File{{Path: "/x", Content: `{{range 1000000}}secret{{end}}`}}}
	if _, err := endless.Resolve(v); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("an endless template: %v", err)
	}
}

// TestNetwork resolves a machine's network, and judges it when its values are known.
func TestNetwork(t *testing.T) {
	s, err := Parse([]byte(`{"network":[{"addresses":["{{.Labels.ip}}/24",
		"{{with index .Labels \"ip6\"}}{{.}}/64{{end}}"],
		"gateways":["10.0.0.1"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	v := Values{Node: "52-54-00-00-00-01", MAC: "52:54:00:00:00:01", Session: "s7", Labels: map[string]string{
		"ip": "10.0.0.5"}}
	d, err := s.Resolve(v)
	if err != nil {
		t.Fatal(err)
	}
	if n := d.Things.Network[0]; n.MAC != v.MAC || len(n.Addresses) != 1 || n.Addresses[0] != "10.0.0.5/24" {
		t.Errorf("%+v", n)
	}
	if s.Network[0].MAC != "" || s.Network[0].Addresses[0] != "{{.Labels.ip}}/24" {
		t.Error("the settings themselves have changed")
	}
	for ip, want := range map[string]string{"10.0.1.5": "network of no address", "10.0.0.300": "prefix length",
		"10.0.0.1": "own address", "": "prefix length"} {
		v.Labels["ip"] = ip
		if _, err := s.Resolve(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", ip, err, want)
		}
	}
}

// TestShown has no secret in what everybody may see.
func TestShown(t *testing.T) {
	s := Settings{Hostname: "a", Passwords: map[string]string{"root": "$6$SECRETSECRET$x"},
		Seed: &Seed{MetaData: "SECRET", UserData: "SECRET"}, Files: []File{{Path: "/x", Content: "SECRET"}}}
	b, err := json.Marshal(s.Shown())
	if err != nil || strings.Contains(string(b), "SECRET") || !strings.Contains(string(b), `"/x"`) {
		t.Errorf("%s, %v", b, err)
	}
	if s.Passwords["root"] != "$6$SECRETSECRET$x" {
		t.Error("the settings themselves have changed")
	}
}

// FuzzParse shows that what Parse takes can be resolved or refused, and comes back from a document.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"hostname":"pc-{{.Name}}","files":[{"path":"/a","content":"{{.MAC}}"}]}`))
	f.Add([]byte(`{"passwords":{"root":"!"},"seed":{"user_data":"x"}}`))
	f.Add([]byte(`{"network":[{"mac":"{{.MAC}}","addresses":["10.0.0.5/24"],"gateways":["10.0.0.1"],"dns":["::1"]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Parse(raw)
		if err != nil {
			return
		}
		d, err := s.Resolve(Values{Name: "a", Node: "n", MAC: "m", UUID: "u", Serial: "s", Session: "s1"})
		if err != nil {
			return
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseDocument(b); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	})
}

// TestContents tells a file of which no content is said from one that is to be empty.
func TestContents(t *testing.T) {
	if _, err := Decode([]byte(`{"files":[{"path":"/etc/motd","content":""}]}`)); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	_, err := Decode([]byte(`{"files":[{"path":"/a","content":"x"},{"path":"/etc/ssh/sshd_config","mode":"0600"}]}`))
	if err == nil || !strings.Contains(err.Error(), `"/etc/ssh/sshd_config" has no content, and would be emptied`) {
		t.Errorf("a file without content: %v", err)
	}
}
