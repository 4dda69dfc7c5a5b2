import type { Page } from 'playwright-core'

/** A page of an application, and who uses it. */
export interface Visit {
  page: Page
  /** The application's address, without a slash at its end. */
  origin: string
  /** The name of the user who is logged in. */
  user: string
  /** A text that occurs nowhere else: what this run writes. */
  mark: string
}

/** Something that people do in an application. It throws when it does not work, and a SkippedDeed when it cannot be tried. */
export interface Deed {
  /** What is done, in words: the name of its check. */
  name: string
  act(visit: Visit): Promise<void>
}

/** Why a deed could not be tried, though nothing is broken. */
export class SkippedDeed extends Error {}

/** The pages of one application, found by the roles and texts that upstream gives them. */
export interface AppPage {
  /** The name of its client at single sign-on. */
  client: string
  title: string
  /** Opens its login page and presses the button of single sign-on. */
  signIn(visit: Visit): Promise<void>
  /** Waits for what only somebody sees who is logged in. */
  entered(visit: Visit): Promise<void>
  /** Whether this person has the rights of an administrator, where single sign-on gives them. */
  isAdmin?(visit: Visit): Promise<boolean>
  deeds: readonly Deed[]
}

/** Milliseconds that a menu may take to show an entry that may not be there at all. */
const GLANCE = 5000

/** Whether something becomes visible soon. */
export async function isShown(locator: ReturnType<Page['locator']>): Promise<boolean> {
  return locator
    .waitFor({ timeout: GLANCE })
    .then(() => true)
    .catch(() => false)
}
