/**
 * Single sign-on as it is deployed, on loopback: PostgreSQL, hydra and kratos with the values of flux2, the user
 * panel, and in the place of the ingress a TLS proxy with a CA of its own, at https://admin.oas.localhost:PORT.
 */
import { rmSync, writeFileSync } from 'node:fs'
import type { Server as PlainServer } from 'node:http'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { dump } from 'js-yaml'
import { privateFolder, ROOT } from '../../../lib/script/files.ts'
import { until } from '../../../lib/script/wait.ts'
import { type Building, builtSets } from '../build/build.ts'
import { LOGIN_SETS } from '../build/programs.ts'
import { run } from '../build/shell.ts'
import { issueServing } from '../cluster/pki.ts'
import { freePorts } from '../cluster/ports.ts'
import { LOGIN_HOST as HOST, LOGIN_PORTS } from '../cluster/spec.ts'
import { startDatabase } from './database.ts'
import { MailServer } from './mail.ts'
import { Processes } from './processes.ts'
import { ingress, namesTo, type Route } from './proxy.ts'
import { moved, objectsOf, releaseValues, type Values } from './values.ts'

/** The ports on which it listens. */
export type LoginPorts = Record<(typeof LOGIN_PORTS)[number], number>

/** A running single sign-on. */
export class LoginBed {
  readonly ports: LoginPorts
  readonly processes: Processes
  readonly ca: string
  readonly #folder: string
  readonly #routes: Route[]
  readonly #server: Server
  readonly #names: PlainServer
  #data: string | undefined
  /** Where users get mail; undefined on a platform without. */
  mail: MailServer | undefined
  /** What Flux substitutes. */
  readonly variables: Record<string, string>

  private constructor(options: {
    ports: LoginPorts
    processes: Processes
    folder: string
    variables: Record<string, string>
    ca: string
    certificate: { key: string; cert: string }
  }) {
    this.ports = options.ports
    this.processes = options.processes
    this.#folder = options.folder
    this.variables = options.variables
    this.ca = options.ca
    this.#routes = this.#ownRoutes()
    this.#server = ingress(options.certificate, this.#routes).listen(this.ports.ingress, '127.0.0.1')
    this.#names = namesTo(this.ports.ingress).listen(0, '127.0.0.1')
  }

  /** oas.localhost:PORT, which takes the place of DOMAIN in every address. */
  get domain(): string {
    return this.variables.domain!
  }

  get kratosAdmin(): string {
    return `http://127.0.0.1:${this.ports.kratosAdmin}/admin`
  }

  get hydraAdmin(): string {
    return `http://127.0.0.1:${this.ports.hydraAdmin}/admin`
  }

  /**
   * Builds what the cache does not have, and starts everything on free ports in a folder of its own; with `mail` on
   * that port a platform that sends mail.
   */
  static async up(folder: string, building: Building, mail?: number): Promise<LoginBed> {
    const [hydra, kratos] = await builtSets(building, LOGIN_SETS)
    const programs = { hydra: join(hydra!, 'hydra'), kratos: join(kratos!, 'kratos') }
    return LoginBed.start(folder, programs, await freePorts(LOGIN_PORTS), mail)
  }

  /** Starts everything in a folder. Throws with the log of what does not start. */
  static async start(
    folder: string,
    programs: Record<'hydra' | 'kratos', string>,
    ports: LoginPorts,
    mail?: number,
  ): Promise<LoginBed> {
    const domain = `${HOST}:${ports.ingress}`
    const secrets = ['hydra_system', 'hydra_cookie', 'kratos_default', 'kratos_cookie', 'kratos_cipher']
    const variables: Record<string, string> = {
      domain,
      admin_email: `admin@${HOST}`,
      ...(mail && { outgoing_mail_enabled: 'true', outgoing_mail_from_address: `oas@${HOST}` }),
      hydra_postgres_password: 'password',
      kratos_postgres_password: 'password',
      single_sign_on_csrf_secret: 'password',
      // kratos' cipher takes 32 characters, neither more nor fewer.
      ...Object.fromEntries(secrets.map(name => [`${name}_secret`, name.padEnd(32, '.')])),
    }
    const names = [HOST, `*.${HOST}`, '127.0.0.1']
    const { ca, certificate, key } = await issueServing(names)
    writeFileSync(join(folder, 'ca.pem'), ca)
    const processes = new Processes(privateFolder(join(folder, 'logs')))
    const bed = new LoginBed({
      ports,
      processes,
      folder,
      variables,
      ca,
      certificate: { key, cert: certificate },
    })
    try {
      if (mail) bed.mail = MailServer.start(processes, mail, { cert: certificate, key })
      bed.#data = await startDatabase(processes, ports.database)
      await bed.#startHydra(programs.hydra)
      await bed.#startKratos(programs.kratos)
      await bed.startPanel()
    } catch (error) {
      await bed.down()
      throw error
    }
    return bed
  }

  /** The names of Services in the configuration, and where the bed runs them. */
  get #addresses(): Record<string, string> {
    const at = (port: number) => `127.0.0.1:${port}`
    return {
      'single-sign-on-database:5432': at(this.ports.database),
      'hydra-admin:4445': at(this.ports.hydraAdmin),
      'http://kratos-admin': `http://${at(this.ports.kratosAdmin)}`,
      'http://kratos-public': `http://${at(this.ports.kratosPublic)}`,
      'http://single-sign-on:3001': `http://${at(this.ports.hooks)}`,
    }
  }

  /** What the Ingress objects of hydra and the panel say. */
  #ownRoutes(): Route[] {
    const of = (hosts: { host: string; paths: { path: string }[] }[], to: number) =>
      hosts.flatMap(({ host, paths }) =>
        paths.map(({ path }) => ({ host: host.split(':')[0]!, prefix: path, to })),
      )
    const hydra = releaseValues('hydra', this.variables).ingress.public.hosts
    const panel = objectsOf('userpanel/ingress.yaml', this.variables)[0]!
    const rules = panel.spec.rules.map(({ host, http }: Values) => ({ host, paths: http.paths }))
    return [...of(hydra, this.ports.hydraPublic), ...of(rules, this.ports.panel)]
  }

  /** Leads a host below the domain to a handler of the test. */
  serve(name: string, to: Route['to']): void {
    this.#routes.push({ host: `${name}.${HOST}`, prefix: '/', to })
  }

  async #startHydra(program: string): Promise<void> {
    const { config } = releaseValues('hydra', this.variables).hydra
    const { serve } = config
    const own = { host: '127.0.0.1', port: this.ports.hydraPublic }
    const file = this.#write('hydra', {
      ...config,
      serve: {
        ...serve,
        public: own,
        admin: { host: '127.0.0.1', port: this.ports.hydraAdmin },
        // The chart's default (values.yaml, serve.tls.allow_termination_from), for loopback.
        tls: { allow_termination_from: ['127.0.0.0/8'] },
      },
      log: { level: 'info' },
    })
    await run(program, ['migrate', 'sql', '-e', '-y', '-c', file], { env: { DSN: this.#dsn('hydra') } })
    this.processes.start('hydra', [program, 'serve', 'all', '-c', file, '--sqa-opt-out'], {
      DSN: this.#dsn('hydra'),
      // It tells applications of logouts, at their own addresses.
      HTTPS_PROXY: `http://127.0.0.1:${(this.#names.address() as AddressInfo).port}`,
      SSL_CERT_FILE: join(this.#folder, 'ca.pem'),
    })
    await this.#ready('hydra', this.ports.hydraAdmin)
  }

  async #startKratos(program: string): Promise<void> {
    const { config, identitySchemas } = releaseValues('kratos', this.variables).kratos
    for (const [name, text] of Object.entries(identitySchemas as Record<string, string>))
      writeFileSync(join(this.#folder, name), text)
    const { serve } = config
    // As the release puts it in from Secret oas-mail.
    if (this.mail) config.courier.smtp.connection_uri = this.mail.uri
    const file = this.#write('kratos', {
      ...config,
      identity: JSON.parse(
        JSON.stringify(config.identity).replaceAll('file:///etc/config', `file://${this.#folder}`),
      ),
      serve: {
        public: { ...serve.public, host: '127.0.0.1', port: this.ports.kratosPublic },
        admin: { ...serve.admin, host: '127.0.0.1', port: this.ports.kratosAdmin },
      },
    })
    const dsn = { DSN: this.#dsn('kratos'), SSL_CERT_FILE: join(this.#folder, 'ca.pem') }
    await run(program, ['migrate', 'sql', '-e', '-y', '-c', file], { env: dsn })
    this.processes.start('kratos', [program, 'serve', '-c', file, '--watch-courier', '--sqa-opt-out'], dsn)
    await this.#ready('kratos', this.ports.kratosAdmin)
  }

  /** The panel, as its Deployment starts it: Node with the files of its ConfigMap and the environment. */
  async startPanel(): Promise<void> {
    const [deployment] = objectsOf('userpanel/deployment.yaml', this.variables)
    const [container] = deployment!.spec.template.spec.containers
    const secrets: Record<string, string> = { PANEL_SECRET: 'a-secret-of-the-panel' }
    const environment = Object.fromEntries(
      container.env.map(({ name, value }: Values) => [name, String(value ?? secrets[name])]),
    )
    const env = moved(environment, this.#addresses) as Record<string, string>
    const folder = join(ROOT, 'flux2/core/single-sign-on/userpanel/panel')
    // tsx only where Node itself cannot run TypeScript yet: the image's can.
    const loader =
      Number(process.versions.node.split('.')[0]) >= 24 ? [] : ['--import', import.meta.resolve('tsx')]
    this.processes.start('panel', [process.execPath, ...loader, join(folder, 'main.ts')], {
      ...env,
      PORT: String(this.ports.panel),
      HOOKS_PORT: String(this.ports.hooks),
    })
    await this.#ready('panel', this.ports.panel)
  }

  #dsn(name: string): string {
    return `postgres://${name}:password@127.0.0.1:${this.ports.database}/${name}?sslmode=disable`
  }

  #write(name: string, config: unknown): string {
    const file = join(this.#folder, `${name}.yaml`)
    writeFileSync(file, dump(moved(config, this.#addresses), { lineWidth: -1, noRefs: true }), {
      mode: 0o600,
    })
    return file
  }

  async #ready(name: string, port: number): Promise<void> {
    const ask = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/health/ready`, {
        signal: AbortSignal.timeout(5000),
      }).catch(() => undefined)
      return response?.ok ? { done: true } : { last: response?.status }
    }
    await until(ask, {
      deadline: 120_000,
      every: 100,
      describe: status => `${name}: ${status ?? 'no answer'}: ${this.processes.log(name).slice(-600)}`,
    })
  }

  async down(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
    await this.processes.stopAll()
    await new Promise(resolve => this.#names.close(resolve)) // hydra keeps a way open
    for (const folder of [this.#data, this.mail?.folder])
      if (folder) rmSync(folder, { recursive: true, force: true })
  }
}
