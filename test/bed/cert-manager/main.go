// The controllers of cert-manager in one process: the real ones, of the library. Only this main is ours, since
// upstream's own is in a module that cannot be had by its version. The webhook and the cainjector are not in it.
//
// The options have the defaults of upstream's controller where nothing else is said.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager"
	"github.com/cert-manager/cert-manager/pkg/controller"
	// Each registers its controller, or its kind of issuer.
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/ingresses"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/metrics"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

// Workers of each controller.
const workers = 5

const library = "github.com/cert-manager/cert-manager"

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the cluster")
	metricsAddress := flag.String("metrics-listen-address", "127.0.0.1:9402", "where metrics are served")
	namespace := flag.String("cluster-resource-namespace", "kube-system", "namespace of the Secrets of ClusterIssuers")
	defaultIssuer := flag.String("default-issuer-name", "", "ClusterIssuer of ingresses that name none")
	nameserver := flag.String("acme-http01-solver-nameserver", "", "DNS server of the check before a challenge is accepted")
	retry := flag.Duration("check-retry-period", 10*time.Second, "how often that check is repeated")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	options := controllerOptions(*kubeconfig, *namespace, *defaultIssuer, *nameserver, *retry)
	if err := run(ctx, options, *metricsAddress); err != nil {
		log.Fatalf("Error: %v", err)
	}
}

func controllerOptions(kubeconfig, namespace, defaultIssuer, nameserver string, retry time.Duration) controller.ContextOptions {
	options := controller.ContextOptions{
		Kubeconfig:         kubeconfig,
		KubernetesAPIQPS:   20,
		KubernetesAPIBurst: 50,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: namespace},
		ACMEOptions: controller.ACMEOptions{
			HTTP01SolverImage:                 "quay.io/jetstack/cert-manager-acmesolver:" + version(),
			HTTP01SolverResourceRequestCPU:    resource.MustParse("10m"),
			HTTP01SolverResourceRequestMemory: resource.MustParse("64Mi"),
			HTTP01SolverResourceLimitsCPU:     resource.MustParse("100m"),
			HTTP01SolverResourceLimitsMemory:  resource.MustParse("64Mi"),
			ACMEHTTP01SolverRunAsNonRoot:      true,
			// The name is of DNS-01; it is the period of HTTP-01, too.
			DNS01CheckRetryPeriod: retry,
		},
		IngressShimOptions: controller.IngressShimOptions{
			DefaultIssuerName:                 defaultIssuer,
			DefaultIssuerKind:                 "ClusterIssuer",
			DefaultIssuerGroup:                cmapi.GroupName,
			DefaultAutoCertificateAnnotations: []string{"kubernetes.io/tls-acme"},
		},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes:                 []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"},
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
		SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: 60},
	}
	if nameserver != "" {
		options.HTTP01SolverNameservers = []string{nameserver}
	}
	return options
}

func run(ctx context.Context, options controller.ContextOptions, metricsAddress string) error {
	factory, err := controller.NewContextFactory(ctx, options)
	if err != nil {
		return err
	}
	shared, err := factory.Build("controller")
	if err != nil {
		return err
	}
	var controllers sync.WaitGroup
	failed := make(chan error, len(controller.Known()))
	for name, construct := range controller.Known() {
		each, err := construct(factory)
		if err != nil {
			return fmt.Errorf("controller %s: %w", name, err)
		}
		controllers.Go(func() {
			if err := each.Run(workers, ctx); err != nil {
				failed <- fmt.Errorf("controller %s: %w", name, err)
			}
		})
	}

	informers := shared.SharedInformerFactory
	shared.Metrics.SetupACMECollector(informers.Acme().V1().Challenges().Lister())
	shared.Metrics.SetupCertificateCollector(informers.Certmanager().V1().Certificates().Lister())
	shared.Metrics.SetupIssuerCollector(informers.Certmanager().V1().Issuers().Lister())
	shared.Metrics.SetupClusterIssuerCollector(informers.Certmanager().V1().ClusterIssuers().Lister())
	listener, err := net.Listen("tcp", metricsAddress)
	if err != nil {
		return err
	}
	metrics := shared.Metrics.NewServer(listener)
	go func() {
		if err := metrics.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()

	informers.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	controllers.Wait()
	return metrics.Close()
}

// The version of the library that this is built with.
func version() string {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == library {
				return module.Version
			}
		}
	}
	return "unknown"
}
