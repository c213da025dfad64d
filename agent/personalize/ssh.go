package personalize

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

const sshDir = "/etc/ssh"

// keyKinds are the keys that sshd(8) has by default, made as ssh-keygen -A makes them.
var keyKinds = map[string]func() (crypto.Signer, error){
	"ed25519": func() (crypto.Signer, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err },
	"ecdsa":   func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
	"rsa":     func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 3072) },
}

// hostKeys makes the SSH host keys anew: of the kinds that are there, or of all. What was there of others (DSA,
// certificates of the old keys) goes: it is every clone's.
func hostKeys() thing {
	return thing{name: "SSH host keys",
		may: func(t *tree) error {
			there, err := t.exists(sshDir)
			if err == nil && !there {
				err = errors.New("the image has no " + sshDir + ": is there an SSH server in it?")
			}
			return err
		},
		do: func(t *tree) (string, error) {
			names, err := t.list(sshDir)
			if err != nil {
				return "", err
			}
			var kinds, gone []string
			for _, n := range names {
				if !strings.HasPrefix(n, "ssh_host_") {
					continue
				}
				kind := strings.TrimSuffix(strings.TrimPrefix(n, "ssh_host_"), "_key")
				switch {
				case keyKinds[kind] != nil:
					kinds = append(kinds, kind)
				case keyKinds[strings.TrimSuffix(kind, "_key.pub")] == nil:
					gone = append(gone, n)
				}
			}
			if len(kinds) == 0 {
				kinds = slices.Collect(maps.Keys(keyKinds))
			}
			slices.Sort(kinds)
			for _, n := range gone {
				if err := t.remove(path.Join(sshDir, n)); err != nil {
					return "", err
				}
			}
			var prints []string
			for _, kind := range kinds {
				print, err := t.hostKey(kind)
				if err != nil {
					return "", fmt.Errorf("%s: %w", kind, err)
				}
				prints = append(prints, kind+" "+print)
			}
			return strings.Join(prints, ", "), nil
		}}
}

// hostKey makes one key and returns its fingerprint.
func (t *tree) hostKey(kind string) (fingerprint string, err error) {
	key, err := keyKinds[kind]()
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return "", err
	}
	pub, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return "", err
	}
	name := path.Join(sshDir, "ssh_host_"+kind+"_key")
	if err := t.write(name, pem.EncodeToMemory(block), attributes{mode: 0o600}); err != nil {
		return "", err
	}
	return ssh.FingerprintSHA256(pub), t.write(name+".pub", ssh.MarshalAuthorizedKey(pub), plainFile)
}

// authorizedKeys adds keys to users that are there.
func authorizedKeys(of map[string]string) thing {
	users := slices.Sorted(maps.Keys(of))
	return thing{name: "authorized keys",
		may: func(t *tree) error {
			for _, user := range users {
				u, err := t.user(user)
				if err != nil {
					return err
				}
				if there, err := t.exists(u.home); err != nil || !there {
					return errors.Join(err, fmt.Errorf("user %s has no folder %s in the image", user, u.home))
				}
			}
			return nil
		},
		do: func(t *tree) (string, error) {
			for _, user := range users {
				u, err := t.user(user)
				if err != nil {
					return "", err
				}
				dir := path.Join(u.home, ".ssh")
				if err := t.mkdir(dir, attributes{mode: 0o700, uid: u.uid, gid: u.gid}); err != nil {
					return "", err
				}
				file := path.Join(dir, "authorized_keys")
				old, err := t.read(file)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return "", err
				}
				text := withLines(string(old), of[user])
				if err := t.write(file, []byte(text), attributes{mode: 0o600, uid: u.uid, gid: u.gid}); err != nil {
					return "", err
				}
			}
			return "of " + strings.Join(users, ", "), nil
		}}
}

// withLines is old with the lines of more that it does not have.
func withLines(old, more string) string {
	have := map[string]bool{}
	for line := range strings.Lines(old) {
		have[strings.TrimSpace(line)] = true
	}
	old = wholeLines(old)
	for line := range strings.Lines(more) {
		if line = strings.TrimSpace(line); line != "" && !have[line] {
			old += line + "\n"
			have[line] = true
		}
	}
	return old
}
