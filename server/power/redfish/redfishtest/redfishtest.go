// Package redfishtest is a Redfish service that lies as real ones do. What it says when it does not lie is as DMTF's
// schemas have it: ServiceRoot, ComputerSystemCollection and ComputerSystem with its Boot object and its action
// ComputerSystem.Reset (DSP0266, DSP2046).
package redfishtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// User and Password are let in.
const (
	User     = "operator"
	Password = "correct horse"
)

// Lies are the ways in which the service lies; the reports are named in docs/operating.md.
type Lies struct {
	Nothing      bool   // 200 to a reset, and nothing happens
	Accepted     bool   // 202 to a reset, and nothing happens
	Reverts      bool   // it is on when first looked at, and then off again
	Old          int    // so many looks after a reset show the state before it
	BootIgnored  bool   // 204 to an override, which stays as it was
	BootResets   bool   // the override is there when first looked at, and then not
	ForEver      bool   // Once becomes Continuous
	DropsMode    bool   // the mode goes back to Legacy unless it is sent
	ModeFixed    bool   // the mode cannot be sent
	Legacy       bool   // the mode becomes Legacy with every override, also where UEFI is sent
	ReadOnly     bool   // 403 to every write
	Sessions     bool   // 503: no session is free
	Busy         int    // so many requests are refused with 503 first
	Burst        bool   // two requests at once freeze it for good
	Freezes      bool   // the first write has no answer, and nothing after it
	Hangs        bool   // no request has an answer
	Slow         bool   // every answer takes 100 ms
	ContentType  string // in place of application/json
	Login        bool   // 200 and an HTML page
	Redirect     bool   // 302 to a login page
	Elsewhere    string // host that the systems are said to be on
	Parrots      bool   // refusals repeat the password
	SeveralBlade bool   // it has two systems
}

// Server is the service. It keeps what was asked of it.
type Server struct {
	*httptest.Server
	mu     sync.Mutex
	lies   Lies
	power  string
	before string
	old    int
	looks  int // since the last write
	boot   map[string]string
	frozen bool
	inside int
	most   int
	writes []string
	done   chan struct{}
}

// New starts one whose machine is off.
func New(t *testing.T, lies Lies) *Server {
	s := &Server{lies: lies, power: "Off", before: "Off", done: make(chan struct{}),
		boot: map[string]string{"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None",
			"BootSourceOverrideMode": "UEFI"}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { close(s.done); s.Close() })
	return s
}

// Address is HOST:PORT.
func (s *Server) Address() string { return s.Listener.Addr().String() }

// Power is the machine's true state.
func (s *Server) Power() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.power
}

// Most is how many requests it had at once.
func (s *Server) Most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// Writes are the resets and overrides that were asked for.
func (s *Server) Writes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.writes...)
}

// Mode is the mode that is set.
func (s *Server) Mode() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boot["BootSourceOverrideMode"]
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.inside++
	s.most = max(s.most, s.inside)
	if s.lies.Burst && s.inside > 1 {
		s.frozen = true
	}
	write := r.Method != http.MethodGet
	hang := s.frozen || s.lies.Hangs
	if write && s.lies.Freezes {
		s.frozen, hang = true, true
	}
	busy := s.lies.Busy > 0
	s.lies.Busy--
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.inside--; s.mu.Unlock() }()
	switch {
	case hang:
		select {
		case <-s.done:
		case <-r.Context().Done():
		}
		return
	case s.lies.Slow:
		select { // what is slow is imitated here, not waited for
		case <-time.After(100 * time.Millisecond):
		case <-s.done:
		}
	}
	user, pass, _ := r.BasicAuth()
	root := strings.Trim(r.URL.Path, "/") == "redfish/v1"
	switch {
	case s.lies.Redirect:
		http.Redirect(w, r, "/login.html", http.StatusFound)
	case s.lies.Login:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html><title>Login</title></html>")
	case busy:
		s.fail(w, http.StatusServiceUnavailable, "Base.1.0.ServiceTemporarilyUnavailable")
	case s.lies.Sessions && !root:
		s.fail(w, http.StatusServiceUnavailable, "Base.1.0.SessionLimitExceeded")
	case !root && (user != User || pass != Password):
		s.fail(w, http.StatusUnauthorized, "Base.1.0.NoValidSession "+s.parrot(pass))
	case write && s.lies.ReadOnly:
		s.fail(w, http.StatusForbidden, "Base.1.0.InsufficientPrivilege "+s.parrot(pass))
	case write:
		s.write(w, r)
	default:
		s.read(w, r, root)
	}
}

func (s *Server) parrot(pass string) string {
	if s.lies.Parrots {
		return pass
	}
	return ""
}

func (s *Server) fail(w http.ResponseWriter, code int, id string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":%q}}`, id, id)
}

func (s *Server) answer(w http.ResponseWriter, v any) {
	kind := s.lies.ContentType
	if kind == "" {
		kind = "application/json; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	_ = json.NewEncoder(w).Encode(v)
}

type object = map[string]any

func (s *Server) read(w http.ResponseWriter, r *http.Request, root bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const systems = "/redfish/v1/Systems"
	path := strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case root:
		at := systems
		if s.lies.Elsewhere != "" { // put behind https://HOST this is another host
			at = "@" + s.lies.Elsewhere + systems
		}
		s.answer(w, object{"@odata.id": "/redfish/v1/", "@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot",
			"Id": "RootService", "Name": "Root", "RedfishVersion": "1.6.0", "Systems": object{"@odata.id": at}})
	case path == systems:
		members := []object{{"@odata.id": systems + "/1"}}
		if s.lies.SeveralBlade {
			members = append(members, object{"@odata.id": systems + "/2"})
		}
		s.answer(w, object{"@odata.id": systems, "@odata.type": "#ComputerSystemCollection.ComputerSystemCollection",
			"Name": "Systems", "Members@odata.count": len(members), "Members": members})
	case path == systems+"/1", path == systems+"/2" && s.lies.SeveralBlade:
		s.looks++
		power, boot := s.power, s.boot
		if s.old > 0 {
			s.old--
			power = s.before
		}
		if s.lies.Reverts && s.looks > 1 {
			power, s.power = s.before, s.before
		}
		if s.lies.BootResets && s.looks > 2 {
			boot["BootSourceOverrideEnabled"] = "Disabled"
		}
		s.answer(w, object{"@odata.id": path, "@odata.type": "#ComputerSystem.v1_5_0.ComputerSystem",
			"Id": path[len(path)-1:], "Name": "System", "PowerState": power, "Boot": boot,
			"Actions": object{"#ComputerSystem.Reset": object{"target": path + "/Actions/ComputerSystem.Reset",
				"ResetType@Redfish.AllowableValues": []string{"On", "ForceOff", "ForceRestart"}}}})
	default:
		s.fail(w, http.StatusNotFound, "Base.1.0.ResourceMissingAtURI")
	}
}

func (s *Server) write(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ResetType string
		Boot      map[string]string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.fail(w, http.StatusBadRequest, "Base.1.0.MalformedJSON")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.Boot != nil {
		s.override(w, in.Boot)
		return
	}
	s.writes = append(s.writes, in.ResetType)
	s.before = s.power
	s.looks, s.old = 0, s.lies.Old
	switch {
	case s.lies.Accepted:
		w.WriteHeader(http.StatusAccepted)
		return
	case s.lies.Nothing:
	case in.ResetType == "On":
		s.power = "On"
	case in.ResetType == "ForceOff":
		s.power = "Off"
	}
	s.answer(w, object{})
}

func (s *Server) override(w http.ResponseWriter, boot map[string]string) {
	s.looks = 0
	s.writes = append(s.writes, boot["BootSourceOverrideTarget"]+" "+boot["BootSourceOverrideEnabled"]+" "+
		boot["BootSourceOverrideMode"])
	_, mode := boot["BootSourceOverrideMode"]
	if mode && s.lies.ModeFixed {
		s.fail(w, http.StatusBadRequest, "Base.1.0.PropertyNotWritable")
		return
	}
	if !s.lies.BootIgnored {
		for k, v := range boot {
			s.boot[k] = v
		}
		if s.lies.DropsMode && !mode || s.lies.Legacy {
			s.boot["BootSourceOverrideMode"] = "Legacy"
		}
		if s.lies.ForEver {
			s.boot["BootSourceOverrideEnabled"] = "Continuous"
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
