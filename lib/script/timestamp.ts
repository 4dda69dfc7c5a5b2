/**
 * A time as a part of a file's name, in UTC: sorted by name is sorted by time, and there is no character in it
 * that a file system or a shell takes for its own. `2026-01-02T03-04-05Z`; with milliseconds
 * `2026-01-02T03-04-05-678Z`, for what may be made twice in a second. Pure.
 */
export function fileTime(at: Date, { milliseconds = false } = {}): string {
  const text = at.toISOString().replaceAll(/[:.]/g, '-')
  return milliseconds ? text : text.replace(/-\d{3}Z$/, 'Z')
}
