import { randomBytes } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { applyPlanned } from '../../lib/flux/apply.ts'
import { Kubectl, refOf } from '../../lib/kubectl/kubectl.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import { INGRESS_ROUTE, TRAEFIK_MIDDLEWARE, TRIAL_LABEL, trialObjects, trialPaths } from './routes.ts'

/** Milliseconds for one request. */
const PATIENCE = 8000
/** Milliseconds until Traefik has taken a change over, which takes it seconds. */
const TAKEN_OVER = 90_000

/** Where the ingress is asked. */
export interface Target {
  address: string
  http: number
  https: number
}

/** What a request met: refused by the ranges, let in, not routed (yet), or no connection. */
export type Answered = 'refused' | 'let in' | 'not routed' | 'no connection'

/** Asks the ingress for a path. Its certificate does not matter: what counts is whether it lets us in. Never throws but for the signal. */
export async function ask(
  target: Target,
  path: string,
  signal: AbortSignal,
  { secure = true, host }: { secure?: boolean; host?: string } = {},
): Promise<Answered> {
  signal.throwIfAborted()
  const status = await new Promise<number | undefined>(resolve => {
    const sent = (secure ? httpsRequest : httpRequest)(
      {
        host: target.address,
        port: secure ? target.https : target.http,
        path,
        agent: false,
        rejectUnauthorized: false,
        signal,
        ...(host ? { servername: host, headers: { host } } : {}),
      },
      response => {
        response.resume()
        resolve(response.statusCode)
      },
    )
    const timer = setTimeout(() => sent.destroy(new Error('no answer in time')), PATIENCE)
    sent.on('close', () => clearTimeout(timer))
    sent.on('error', () => resolve(undefined))
    sent.end()
  })
  signal.throwIfAborted()
  if (status === undefined) return 'no connection'
  // 418 is noop@internal: no middleware was against it.
  return status === 418 ? 'let in' : status === 403 ? 'refused' : 'not routed'
}

/** Routes of a trial in the cluster, until the end of the run. */
export class Trial {
  readonly #paths: ReturnType<typeof trialPaths>
  readonly #signal: AbortSignal
  /** Where the ingress can be reached from here. */
  targets: readonly Target[] = []

  private constructor(id: string, signal: AbortSignal) {
    this.#paths = trialPaths(id)
    this.#signal = signal
  }

  /** Sets the routes up, and waits until Traefik has them. Throws where the ingress cannot be reached from here. */
  static async start(
    kubectl: Kubectl,
    trial: Parameters<typeof trialObjects>[1] & { targets: readonly Target[] },
    run: { signal: AbortSignal; onEnd: (cleanup: () => Promise<void>) => void },
  ): Promise<Trial> {
    const id = randomBytes(4).toString('hex')
    const started = new Trial(id, run.signal)
    // Without the signal of the run: an interrupted one cleans up, too.
    const cleaning = new Kubectl(kubectl.client)
    run.onEnd(() => removeTrials(cleaning))
    await removeTrials(kubectl) // those of a killed run
    const objects = trialObjects(id, trial)
    await applyPlanned(
      kubectl,
      objects.map(object => ({ object, action: 'create' })),
    )
    started.targets = await until<string, readonly Target[]>(
      async () => {
        const answers = await Promise.all(trial.targets.map(target => started.#ask(target, 'open')))
        const reached = trial.targets.filter((_, i) => answers[i] !== 'no connection')
        if (reached.length > 0 && !answers.includes('not routed')) return { done: reached }
        return { last: trial.targets.map((target, i) => `${target.address}: ${answers[i]}`).join(', ') }
      },
      {
        deadline: TAKEN_OVER / 3,
        signal: run.signal,
        describe: last => last ?? 'nothing',
        fix: 'the ingress has to answer this machine on port 443: check it with `npx tsx scripts/preflight.ts --only ports`; nothing was changed',
      },
    )
    return started
  }

  #ask(target: Target, path: 'open' | 'given' | 'all' | 'nobody'): Promise<Answered> {
    return ask(target, this.#paths[path], this.#signal)
  }

  /** Where the ingress refuses this machine already, before anything was changed. */
  refusedNow(): Promise<Target[]> {
    return this.#with('open', 'refused')
  }

  /**
   * The addresses at which the ranges given would not let this machine in: that it is let in as a part of the cluster
   * helps nobody who comes from elsewhere. Throws where Traefik does not even refuse everybody.
   */
  async lockedOut(): Promise<string[]> {
    const careless = await this.#with('nobody', 'let in')
    if (careless.length > 0)
      throw new ExpectedError(
        `the ingress at ${named(careless).join(', ')} lets this machine in by a test route that refuses everybody; nothing was changed`,
        'something in front of it answers: run this from a machine that reaches it directly',
        { exitCode: EXIT.refused },
      )
    return named(await this.#with('given', 'refused'))
  }

  /** The addresses at which this machine will be refused: not even let in as a part of the cluster. */
  async willBeRefused(): Promise<string[]> {
    return named(await this.#with('all', 'refused'))
  }

  async #with(path: 'open' | 'given' | 'all' | 'nobody', wanted: Answered): Promise<Target[]> {
    const answers = await Promise.all(this.targets.map(target => this.#ask(target, path)))
    return this.targets.filter((_, i) => answers[i] === wanted)
  }

  /**
   * Waits until this machine is refused at these addresses and let in at the others, for `hosts`, or for all. The
   * open path is asked, not the applications: they answer 403 for reasons of their own, too. Throws when that does
   * not come about, or when an authority is refused on port 80.
   */
  async verify(refused: readonly string[], hosts: readonly string[]): Promise<void> {
    const asked = hosts.length > 0 ? hosts : [undefined]
    const fits = async (target: Target, host: string | undefined) => {
      const answer = await ask(target, this.#paths.open, this.#signal, { host })
      return answer === (refused.includes(target.address) ? 'refused' : 'let in')
    }
    const end = performance.now() + TAKEN_OVER
    // A pod of Traefik that is ending may still answer: several answers in a row count.
    for (let row = 0; row < 4; ) {
      const answers = await Promise.all(this.targets.flatMap(target => asked.map(host => fits(target, host))))
      row = answers.every(Boolean) ? row + 1 : 0
      if (performance.now() > end)
        throw new ExpectedError(
          `the ingress does not let this machine in${refused.length > 0 ? ', or does not refuse it,' : ''} as it should`,
          'check --allow and --behind-proxy: runbooks/restrict-access.md',
        )
      await sleep(500, this.#signal)
    }
    const answers = await Promise.all(
      this.targets.map(target => ask(target, this.#paths.challenge, this.#signal, { secure: false })),
    )
    const blocked = this.targets.filter((_, i) => answers[i] === 'refused')
    if (blocked.length > 0)
      throw new ExpectedError(
        `${named(blocked).join(', ')} refuses the path of ACME challenges on port 80: certificates could not be renewed`,
        'remove what restricts the entry point web in Secret oas/oas-nginx-override',
      )
  }
}

/** Removes the routes of trials, also of those that a killed run has left. */
async function removeTrials(kubectl: Kubectl): Promise<void> {
  for (const { apiVersion, kind } of [INGRESS_ROUTE, TRAEFIK_MIDDLEWARE])
    for (const object of await kubectl.list(apiVersion, kind, {
      namespace: 'oas',
      labelSelector: TRIAL_LABEL,
    }))
      await kubectl.delete(refOf(object))
}

const named = (targets: readonly Target[]) => targets.map(({ address }) => address)
