// The bed's stand-ins of our own: for k3s, and for the applications whose images cannot be had.
module openappstack.net/test/bed/k3s

go 1.26.0

require (
	github.com/klauspost/compress v1.18.6
	sigs.k8s.io/yaml v1.6.0
)

require go.yaml.in/yaml/v2 v2.4.4 // indirect
