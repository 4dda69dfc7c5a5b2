import { createPrivateKey, X509Certificate } from 'node:crypto'
import type https from 'node:https'
import { codeOf, ExpectedError, messageOf, TransientError } from '../script/errors.ts'
import { notKubernetes } from './answer.ts'

/** Throws an ExpectedError for an expired or not yet valid client certificate, and for a key that does not belong to it. */
export function checkCredentials({ cert, key }: https.RequestOptions, kubeconfig: string): void {
  if (!cert) return
  const broken = (what: string) =>
    new ExpectedError(`${kubeconfig} is not usable: ${what}`, 'fetch the kubeconfig from the cluster again')
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(cert as Buffer)
  } catch {
    throw broken('its client certificate cannot be read')
  }
  const now = Date.now()
  if (Date.parse(certificate.validTo) < now)
    throw broken(`its client certificate expired on ${certificate.validTo}`)
  if (Date.parse(certificate.validFrom) > now)
    throw broken(
      `its client certificate is not valid before ${certificate.validFrom}; this machine's clock says ${new Date(now).toISOString()}`,
    )
  try {
    if (key && !certificate.checkPrivateKey(createPrivateKey(key as Buffer)))
      throw broken('its client key does not belong to its client certificate')
  } catch (error) {
    throw error instanceof ExpectedError ? error : broken('its client key cannot be read')
  }
}

/** Whether a server listens on this machine, as a sandbox does. */
function isLocal(server: string): boolean {
  const name = URL.canParse(server) ? new URL(server).hostname : ''
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(name)
}

/** Says in two lines why the API server could not be asked. */
export function unreachable(server: string, error: unknown): ExpectedError {
  const code = codeOf(error) ?? ''
  const nodeFix = isLocal(server)
    ? 'is the cluster running, and is its address right? For the sandbox: npx tsx scripts/sandbox.ts up'
    : 'is the cluster running, and is its address right? npx tsx scripts/ssh.ts --sudo -- systemctl status k3s'
  if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError'))
    return new TransientError(`the API server ${server} does not answer in time`, nodeFix, { cause: error })
  if (/CERT_HAS_EXPIRED/.test(code))
    return new ExpectedError(
      `the certificate of the API server ${server} has expired`,
      'renew it on the server (k3s renews its certificates when it is restarted), and check the clocks',
      { cause: error },
    )
  if (/CERT_NOT_YET_VALID/.test(code))
    return new ExpectedError(
      `the certificate of the API server ${server} is not valid yet`,
      'a clock is wrong: compare `date -u` here and on the server',
      { cause: error },
    )
  if (/ALTNAME|SIGNATURE|SELF_SIGNED|UNABLE_TO/.test(code))
    return new ExpectedError(
      `the certificate of the API server ${server} cannot be trusted (${code})`,
      'fetch the kubeconfig from the cluster again; if its address changed, the certificate must name the new one',
      { cause: error },
    )
  if (code.startsWith('HPE_')) return notKubernetes(server, `it does not speak HTTP (${code})`, error)
  if (code === 'EPROTO' && /wrong version number|packet length too long/.test(messageOf(error)))
    return notKubernetes(server, 'it does not speak TLS', error)
  return new TransientError(
    `the API server ${server} cannot be reached (${code || messageOf(error)})`,
    nodeFix,
    { cause: error },
  )
}
