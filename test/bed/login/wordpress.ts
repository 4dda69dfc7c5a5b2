/**
 * The real WordPress (Debian's package) on a bed, with PHP and MariaDB, configured by the files of flux2/apps/wordpress
 * as its pod mounts them. PHP's own web server stands in for Apache, and a few lines of PHP for the wp-cli of setup.sh,
 * which Debian does not have.
 */
import { appendFileSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import { ROOT } from '../../../lib/script/files.ts'
import { until } from '../../../lib/script/wait.ts'
import { run } from '../build/shell.ts'
import { freePorts } from '../cluster/ports.ts'
import { askSignOn } from './ask-sign-on.ts'
import type { LoginBed } from './bed.ts'
import { clientOf } from './clients.ts'
import { substituted, type Values } from './values.ts'

/** Where Debian has it (packages wordpress, wordpress-theme-twentytwentythree). */
const DEBIAN = '/usr/share/wordpress'
/** The authorities that Debian's WordPress trusts, in place of a bundle of its own. */
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt'
const PLUGIN = 'daggerhart-openid-connect-generic'
/** A folder with the plugin (https://github.com/oidc-wp/openid-connect-generic); without it the stand-in beside this file. */
const GIVEN = process.env.OAS_WORDPRESS_PLUGIN

/** What `wp core install` and `wp plugin activate` do (setup.sh). */
const INSTALL = `<?php
define('WP_INSTALLING', true);
function wp_new_blog_notification() {} // --skip-email
require getcwd() . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';
[$_, $title, $email, $plugin] = $argv;
wp_install($title, 'admin', $email, true, '', 'a password of WordPress itself');
activate_plugin($plugin);
`

/** A running WordPress at https://www.DOMAIN. */
export class WordPress {
  /** Whether its plugin is the real one. */
  readonly isReal = GIVEN !== undefined
  readonly #bed: LoginBed
  readonly #folder: string
  readonly #ports: Record<'php' | 'mariadb', number>
  #variables: Record<string, string>

  private constructor(bed: LoginBed, folder: string, ports: Record<'php' | 'mariadb', number>) {
    this.#bed = bed
    this.#folder = folder
    this.#ports = ports
    this.#variables = {
      ...bed.variables,
      wordpress_oauth_client_secret: 'a-secret-of-wordpress',
      wordpress_mariadb_root_password: 'password',
      wordpress_mariadb_password: 'password',
      wordpress_admin_password: 'password',
      wordpress_salt: 'salt',
    }
  }

  /** Registers its client, starts it, and leads www.DOMAIN to it. */
  static async start(bed: LoginBed, folder: string): Promise<WordPress> {
    const wordpress = new WordPress(bed, folder, await freePorts(['php', 'mariadb']))
    await askSignOn(`${bed.hydraAdmin}/clients`, 'POST', clientOf('wordpress', wordpress.#variables))
    await wordpress.#startDatabase()
    await wordpress.#install()
    bed.serve('www', wordpress.#ports.php)
    return wordpress
  }

  get #html(): string {
    return join(this.#folder, 'html')
  }

  /** Asks its database; the rows, tab-separated. */
  sql(statement: string): Promise<string> {
    const socket = `--socket=${join(this.#folder, 'mariadb.sock')}`
    return run('mariadb', ['--no-defaults', socket, '-uroot', '-BNe', statement])
  }

  async #startDatabase(): Promise<void> {
    const data = join(this.#folder, 'mariadb')
    const common = ['--no-defaults', `--datadir=${data}`, '--user=root']
    await run('mariadb-install-db', [...common, '--auth-root-authentication-method=normal', '--skip-test-db'])
    const place = [`--socket=${join(this.#folder, 'mariadb.sock')}`, `--port=${this.#ports.mariadb}`]
    const own = ['--bind-address=127.0.0.1', `--pid-file=${data}/pid`, '--innodb-flush-log-at-trx-commit=0']
    this.#bed.processes.start('mariadb', ['mariadbd', ...common, ...place, ...own])
    const create = `CREATE DATABASE wordpress; CREATE USER wordpress IDENTIFIED BY '${this.#variables.wordpress_mariadb_password}';
      GRANT ALL ON wordpress.* TO wordpress`
    await until(
      () =>
        this.sql(create).then(
          () => ({ done: true }),
          error => ({ last: String(error) }),
        ),
      { deadline: 60_000, every: 300, describe: last => `${last}\n${this.#bed.processes.log('mariadb')}` },
    )
  }

  async #install(): Promise<void> {
    cpSync(DEBIAN, this.#html, { recursive: true, dereference: true })
    const plugin = join(this.#html, 'wp-content/plugins', PLUGIN)
    cpSync(GIVEN ?? join(ROOT, 'test/bed/login/wordpress-plugin'), plugin, { recursive: true })
    mkdirSync(join(this.#html, 'wp-content/mu-plugins'), { recursive: true })
    mkdirSync(join(this.#folder, 'setup'))
    const http = join(this.#html, 'wp-includes/class-wp-http.php')
    writeFileSync(http, readFileSync(http, 'utf8').replaceAll(AUTHORITIES, this.#bundle))
    this.configure({})
    this.trust(true)
    const script = join(this.#folder, 'install.php')
    writeFileSync(script, INSTALL)
    const title = this.#variables.domain!
    const args = [script, title, `wordpress-admin@example.org`, `${PLUGIN}/openid-connect-generic.php`]
    await run('php', ['-d', 'display_errors=stderr', ...args], { cwd: this.#html, env: this.#environment() })
    await this.#serve()
  }

  /** The environment that the pod has by its Secrets. */
  #environment(): Record<string, string> {
    const text = (file: string) => readFileSync(join(ROOT, 'flux2/apps/wordpress', file), 'utf8')
    const secrets = ['secrets.yaml', 'oauth-client.yaml'].flatMap(
      file => loadAll(substituted(text(file), this.#variables)) as Values[],
    )
    const named = ['oas-wordpress-env', 'oas-wordpress-oauth']
    const env = secrets.filter(({ metadata }) => named.includes(metadata.name)).map(each => each.stringData)
    return Object.assign({}, ...env, { WORDPRESS_DB_HOST: `127.0.0.1:${this.#ports.mariadb}` })
  }

  /** Writes the files of oas-wordpress-setup as setup.sh puts them in place, with these variables changed. */
  configure(change: Record<string, string>): void {
    this.#variables = { ...this.#variables, ...change }
    const file = join(ROOT, 'flux2/apps/wordpress/setup.yaml')
    const [secret] = loadAll(substituted(readFileSync(file, 'utf8'), this.#variables)) as Values[]
    const files = secret!.stringData as Record<string, string>
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.#folder, 'setup', name), text)
    copyFileSync(join(this.#folder, 'setup/wp-config.php'), join(this.#html, 'wp-config.php'))
    for (const line of files['setup.sh']!.split('\n')) {
      const [, php, name] = /^echo '(<\?php require .*)' > (wp-content\/mu-plugins\/\S+)$/.exec(line) ?? []
      if (php && name) writeFileSync(join(this.#html, name), php.replace('/setup/', `${this.#folder}/setup/`))
    }
  }

  /** Whether it trusts the CA of the bed, as it trusts those of the world. */
  trust(trusts: boolean): void {
    copyFileSync(AUTHORITIES, this.#bundle)
    if (trusts) appendFileSync(this.#bundle, `\n${this.#bed.ca}`)
  }

  get #bundle(): string {
    return join(this.#folder, 'ca-bundle.crt')
  }

  async #serve(): Promise<void> {
    const address = `127.0.0.1:${this.#ports.php}`
    const env = this.#environment()
    this.#bed.processes.start('php', ['php', '-S', address, '-t', this.#html], env)
    await until(
      async () => {
        const headers = { 'x-forwarded-proto': 'https' }
        const answer = await fetch(`http://${address}/wp-login.php`, { headers }).catch(String)
        return typeof answer !== 'string' && answer.ok ? { done: true } : { last: answer }
      },
      { deadline: 60_000, every: 200, describe: () => this.#bed.processes.log('php').slice(-800) },
    )
  }
}
