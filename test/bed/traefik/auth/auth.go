// Package auth stands in for Traefik's fork of go-http-auth, which no module proxy serves: it lets nobody in. The bed's
// tests of Traefik use no passwords.
package auth

import "net/http"

// SecretProvider returns the hash of a user's password.
type SecretProvider func(user, realm string) string

// CheckSecret accepts no password.
func CheckSecret(password, secret string) bool { return false }

// BasicAuth refuses every request.
type BasicAuth struct {
	Realm   string
	Secrets SecretProvider
}

// RequireAuth answers 401.
func (*BasicAuth) RequireAuth(w http.ResponseWriter, r *http.Request) { refuse(w) }

// DigestAuth refuses every request.
type DigestAuth struct{}

// NewDigestAuthenticator ignores the secrets.
func NewDigestAuthenticator(realm string, secrets SecretProvider) *DigestAuth { return &DigestAuth{} }

// CheckAuth knows nobody.
func (*DigestAuth) CheckAuth(r *http.Request) (string, *string) { return "", nil }

// RequireAuth answers 401.
func (*DigestAuth) RequireAuth(w http.ResponseWriter, r *http.Request) { refuse(w) }

// RequireAuthStale answers 401.
func (*DigestAuth) RequireAuthStale(w http.ResponseWriter, r *http.Request) { refuse(w) }

// DigestAuthParams reads nothing.
func DigestAuthParams(authorization string) map[string]string { return map[string]string{} }

func refuse(w http.ResponseWriter) { http.Error(w, "Unauthorized", http.StatusUnauthorized) }
