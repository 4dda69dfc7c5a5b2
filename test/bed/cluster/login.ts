import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import { kubeconfigOf, LOGIN_PORTS, LOOPBACK, type ProcessSpec, type Setting } from './spec.ts'

/** Single sign-on, a Node process of ours that starts PostgreSQL, hydra, kratos and the panel. None without `--login`. */
export function loginProcesses({ layout, ports, extras }: Setting): ProcessSpec[] {
  if (!extras.login) return []
  const { hydra, kratos } = extras.login
  return [
    {
      name: 'login',
      program: process.execPath,
      args: [
        '--import',
        'tsx',
        join(ROOT, 'test/bed/login/server.ts'),
        `--folder=${join(layout.state, 'login')}`,
        `--hydra=${hydra}`,
        `--kratos=${kratos}`,
        `--ports=${LOGIN_PORTS.map(name => `${name}=${ports[name]}`).join()}`,
        `--health=${ports.loginHealth}`,
      ],
      health: `http://${LOOPBACK}:${ports.loginHealth}/`,
      ports: [...LOGIN_PORTS, 'loginHealth'],
    },
  ]
}

/** hydra-maester, which registers the OAuth2Clients of the cluster at that hydra. None without `--login`. */
export function maesterProcess({ layout, ports, extras }: Setting): ProcessSpec[] {
  if (!extras.maester) return []
  return [
    {
      name: 'hydra-maester',
      program: extras.maester['hydra-maester'],
      // As the chart starts it (ory/k8s, hydra-maester, templates/deployment.yaml).
      args: [
        `--hydra-url=http://${LOOPBACK}`,
        `--hydra-port=${ports.hydraAdmin}`,
        '--endpoint=/admin/clients',
        `--metrics-addr=${LOOPBACK}:${ports.maester}`,
      ],
      env: { KUBECONFIG: kubeconfigOf(layout, 'flux') },
      health: `http://${LOOPBACK}:${ports.maester}/metrics`,
      ports: ['maester'],
    },
  ]
}
