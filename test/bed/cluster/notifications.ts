import { kubeconfigOf, LOOPBACK, type ProcessSpec, type Setting } from './spec.ts'

/** Where Flux's controllers send their events: nowhere, unless the sandbox has a notification-controller. */
export function eventsAddress({ ports, extras }: Setting): string {
  return extras.notifications ? `http://${LOOPBACK}:${ports.events}/` : ''
}

/** Flux's notification-controller: the real one, as a process. None unless a test asks for it. */
export function notificationProcess({ layout, ports, extras }: Setting): ProcessSpec[] {
  if (!extras.notifications) return []
  const health = `${LOOPBACK}:${ports.notificationHealth}`
  return [
    {
      name: 'notification-controller',
      program: extras.notifications['notification-controller'],
      args: [
        `--events-addr=${LOOPBACK}:${ports.events}`,
        `--receiverAddr=${LOOPBACK}:${ports.webhooks}`,
        `--health-addr=${health}`,
        '--metrics-addr=0', // none
        '--log-encoding=console',
      ],
      env: {
        KUBECONFIG: kubeconfigOf(layout, 'flux'),
        RUNTIME_NAMESPACE: 'flux-system',
        // Nobody resolves the name of a Service here. Alertmanager is the proxy to itself: a server in Go takes requests
        // that are written for a proxy, and looks at their paths alone.
        HTTP_PROXY: `http://${LOOPBACK}:${ports.alertmanager}`,
      },
      health: `http://${health}/readyz`,
      // The last one stays free for the Alertmanager that a test starts.
      ports: ['events', 'webhooks', 'notificationHealth', 'alertmanager'],
    },
  ]
}
