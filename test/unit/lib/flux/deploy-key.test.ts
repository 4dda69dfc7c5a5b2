import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { keyObstacle, trustedHostKeys } from '../../../../lib/flux/deploy-key.ts'

const NAME = '[git.example.org]:2222'
const [OLD, NEW, RSA] = ['ssh-ed25519 AAAAold', 'ssh-ed25519 AAAAnew', 'ssh-rsa AAAArsa']

test('the plain keys of a server are kept by its name, whatever their line calls it', () => {
  const listing = [
    `# Host ${NAME} found: line 3`,
    `|1|c2FsdA==|aGFzaA== ${NEW} ann@example.org`,
    `*.example.org,!x.example.org ${RSA}`,
    '',
  ]
  assert.is(trustedHostKeys([listing.join('\n')], NAME), `${NAME} ${NEW} ann@example.org\n${NAME} ${RSA}\n`)
})

test('neither the key of an authority nor a revoked one is taken for a key of the server', () => {
  const listing = `@cert-authority * ${OLD}\n${NAME} ${NEW}\n${NAME} ${RSA}\n@revoked * ${NEW}\n`
  assert.is(trustedHostKeys([listing], NAME), `${NAME} ${RSA}\n`)
  assert.is(trustedHostKeys([`@cert-authority *.example.org ${OLD}\n`, ''], NAME), '')
})

test('the first place that knows the server counts, and what any of them calls revoked', () => {
  assert.is(trustedHostKeys([`${NAME} ${NEW}\n`, `${NAME} ${OLD}\n`], NAME), `${NAME} ${NEW}\n`)
  assert.is(trustedHostKeys(['', `${NAME} ${OLD}\n`], NAME), `${NAME} ${OLD}\n`)
  const scanned = `${NAME} ${OLD}\n${NAME} ${NEW}\n`
  assert.is(trustedHostKeys([`@revoked * ${OLD}\n`, '', scanned], NAME), `${NAME} ${NEW}\n`)
})

test('only a repository that refuses the key is told to take it', () => {
  const use = {
    url: 'ssh://git@git.example.org:2222/oas.git',
    branch: 'main',
    server: NAME,
    login: 'ssh -T -p 2222 git@git.example.org',
    secret: { name: 'openappstack-git', namespace: 'flux-system' },
  }
  assert.is(keyObstacle({ state: 'private' }, use), undefined)
  const cases = [
    [{ state: 'no-branch' }, /"main" is not in/, /push it/],
    [
      { state: 'host-key' },
      /host key of \[git\.example\.org\]:2222 is not the one known/,
      /-R .*; then log in/,
    ],
    [{ state: 'no-git' }, /git is not installed/, /install git/],
    [{ state: 'unreachable', message: 'no way' }, /cannot be read: no way/, /flux-system\/openappstack-git/],
  ] as const
  for (const [answer, message, fix] of cases) {
    const obstacle = keyObstacle(answer, use)
    assert.match(obstacle?.message ?? '', message)
    assert.match(obstacle?.fix ?? '', fix)
  }
})

test.run()
