import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import { LOOPBACK, type ProcessSpec, type Setting } from './spec.ts'

/** The stand-in for Loki; none without `--loki`. */
export function lokiProcesses(setting: Setting): ProcessSpec[] {
  return setting.extras.loki ? [standIn(setting)] : []
}

/** The stand-in for Loki: a Node process of ours. */
function standIn({ layout, ports }: Setting): ProcessSpec {
  return {
    name: 'loki-stand-in',
    program: process.execPath,
    args: [
      '--import',
      'tsx',
      join(ROOT, 'test/bed/loki/server.ts'),
      `--port=${ports.loki}`,
      `--file=${join(layout.state, 'loki.jsonl')}`,
    ],
    health: `http://${LOOPBACK}:${ports.loki}/ready`,
    ports: ['loki'],
  }
}
