/**
 * The faults that `npm test` tries, by their names: of every layer at least one, but for logging in, which needs hydra and
 * kratos. `npm run test:all` tries all.
 */
import type { Fault } from '../fault-suite.ts'

/** Their names. test/unit/fault-table.test.ts holds that there is such a fault, and that no layer is without one. */
export const SAMPLE: readonly string[] = [
  // Flux
  'The platform follows a branch that does not exist',
  'A manifest uses an undefined variable',
  'A generated Secret lacks a key',
  'An override has a value of the wrong type',
  'The values of a release were deleted',
  'A Flux controller is scaled to 0',
  'Values are rejected, and a chart repository is down',
  // Kubernetes, all at once
  'An image does not exist',
  'The command of a container does not exist',
  'A container fails its liveness probe',
  'The network of a node does not accept pods',
  'A Secret that a pod needs is missing',
  'A ConfigMap lacks a key that a pod needs',
  'A Job has failed too often',
  'A quota has no room for a pod',
  'A pod names a claim that does not exist',
  // Kubernetes, one at a time
  'An application keeps crashing',
  'The Service of an application selects no pod',
  'An Ingress names a Service that does not exist',
  'A webhook without a server rejects pods',
  'The backups were paused',
  'An application crashes, and a claim is missing',
  // Certificates, all at once
  'the docs’ example: the challenge gets 503',
  'an AAAA record points to another server',
  'the ingress controller serves its default certificate',
  'the issuer’s name is misspelt',
  'the authority’s policy forbids the name',
  'two Certificates use one Secret',
  // Certificates, one at a time
  'cert-manager is scaled down to 0',
  'nobody listens on port 80',
]

/** Those of these faults that are in the sample. */
export const sampleOf = <F extends Fault>(faults: readonly F[]): F[] =>
  faults.filter(({ name }) => SAMPLE.includes(name))
