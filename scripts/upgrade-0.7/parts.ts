/** The parts of the upgrade: help does not load them. */
export { servedKinds } from '../../lib/flux/flux-versions.ts'
export { lockCluster } from '../../lib/platform/lock.ts'
export { checkClock, checkRights } from '../../lib/preflight/preflight.ts'
export { readBackup } from '../../lib/secret-backup/files.ts'
export { keysFor } from '../../lib/secret-backup/keys.ts'
export { backUpSecrets, readSubject } from './backup.ts'
export { checkData } from './data.ts'
export { gatherUpgradeFacts } from './facts.ts'
export { checkBranch } from './git.ts'
export { returnable, rollBack, rollbackPlan } from './rollback.ts'
export { backupOf, readUpgradeState, writeUpgradeState } from './state.ts'
export { goForward } from './steps.ts'
export {
  beginning,
  branchOf,
  checkDisk,
  checkFinished,
  checkHealth,
  kindsText,
  RIGHTS,
  upgradePlan,
} from './upgrade.ts'
export { keepOldUsers, planUsers } from './users/read.ts'
