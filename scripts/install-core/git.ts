import { runLocal } from '../../lib/script/programs.ts'

/** Runs git in a checkout, and returns its output; undefined when it fails or is not installed. */
export async function gitIn(folder: string, ...args: string[]): Promise<string | undefined> {
  const env = { LC_ALL: 'C', GIT_DIR: undefined, GIT_WORK_TREE: undefined, GIT_INDEX_FILE: undefined }
  const output = await runLocal(['git', '-C', folder, ...args], { env, timeout: 20_000 })
  return output.ok ? output.stdout.replace(/\n$/, '') : undefined
}
