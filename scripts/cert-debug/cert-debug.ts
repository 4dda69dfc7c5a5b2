import type { Scope } from '../../lib/diagnosis/session.ts'
import { show } from '../../lib/diagnosis/show.ts'
import { Index } from '../../lib/diagnosis/snapshot.ts'
import { type LookOptions, lookAtCertificates } from './look.ts'
import { chosenHosts, concernsHost } from './scope.ts'
import { screen } from './screen.ts'

/** The diagnosis of certificates: what is looked at, which causes count, and a line for each host above them. */
export function certificateScope(options: Omit<LookOptions, 'gather'>): Scope {
  const { host } = options
  return {
    look: (kubectl, gather) => lookAtCertificates(kubectl, { ...options, gather }),
    only: (cause, index) => concernsHost(cause, host, index),
    show: ({ snapshot, diagnosis }, log) => {
      log.print(screen(chosenHosts(host, snapshot.objects), new Index(snapshot)))
      log.print('')
      show(diagnosis, log)
    },
  }
}
