// Package ext stands in for the extension points of Traefik's commercial edition, which are empty in the free one.
package ext

// HTTP is embedded in the HTTP part of a configuration.
type HTTP struct{}

// DeepCopyInto copies nothing.
func (*HTTP) DeepCopyInto(*HTTP) {}

// Router is embedded in a router.
type Router struct{}

// DeepCopyInto copies nothing.
func (*Router) DeepCopyInto(*Router) {}
