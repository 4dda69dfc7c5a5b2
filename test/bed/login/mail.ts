import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Processes } from './processes.ts'

/** The account of the mail server. */
const ACCOUNT = { user: 'oas', password: 'password' }

/** A real mail server (Exim) on loopback that keeps what it is sent, for whoever logs in over STARTTLS. */
export class MailServer {
  /** `outgoing_mail_smtp_uri`, as install-core builds it. */
  readonly uri: string
  readonly folder: string

  private constructor(folder: string, uri: string) {
    this.folder = folder
    this.uri = uri
  }

  /** Starts it. Exim works as a user of its own, to which root's private folders are closed: it gets one in /tmp. */
  static start(processes: Processes, port: number, tls: { cert: string; key: string }): MailServer {
    const folder = mkdtempSync('/tmp/oas-exim-')
    const path = (name: string) => join(folder, name)
    chmodSync(folder, 0o755)
    for (const name of ['spool', 'mails']) {
      mkdirSync(path(name))
      chmodSync(path(name), 0o777)
    }
    writeFileSync(path('cert.pem'), tls.cert)
    writeFileSync(path('key.pem'), tls.key)
    const is = `\${if and{{eq{$auth2}{${ACCOUNT.user}}}{eq{$auth3}{${ACCOUNT.password}}}}}`
    writeFileSync(
      path('exim.conf'),
      `spool_directory = ${path('spool')}
log_file_path = ${path('spool')}/%slog
pid_file_path = ${path('spool')}/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${port}
primary_hostname = mail.invalid
host_lookup =
rfc1413_hosts =
tls_advertise_hosts = *
tls_certificate = ${path('cert.pem')}
tls_privatekey = ${path('key.pem')}
auth_advertise_hosts = \${if def:tls_in_cipher{*}{}}
acl_smtp_rcpt = known
begin acl
known:
  accept authenticated = *
  deny
begin routers
all:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  file = ${path('mails')}/all
  create_file = anywhere
  user = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${is}
  server_set_id = $auth2
`,
    )
    processes.start('exim', ['/usr/sbin/exim4', '-bdf', '-q1m', '-C', path('exim.conf')])
    return new MailServer(folder, `smtp://${ACCOUNT.user}:${ACCOUNT.password}@127.0.0.1:${port}/`)
  }

  /** All that it has received. */
  received(): string {
    const file = join(this.folder, 'mails/all')
    return existsSync(file) ? readFileSync(file, 'utf8') : ''
  }
}
