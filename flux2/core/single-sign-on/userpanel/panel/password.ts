import { randomInt } from 'node:crypto'

/** Without characters that look alike when they are read aloud or copied by hand. */
const CHARACTERS = 'abcdefghijkmnpqrstuvwxyz23456789'
const GROUPS = 4
const GROUP = 5

/** A password to hand over: four groups of five characters, 100 bits. */
export function generatePassword(): string {
  const character = () => CHARACTERS[randomInt(CHARACTERS.length)]!
  return Array.from({ length: GROUPS }, () => Array.from({ length: GROUP }, character).join('')).join('-')
}
