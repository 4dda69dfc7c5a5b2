/**
 * A time as a part of a file's name, in UTC: sorted by name is sorted by time, and it holds no character
 * that is special to a file system or a shell. `2026-01-02T03-04-05Z`; with milliseconds
 * `2026-01-02T03-04-05-678Z`, for names that may occur twice in a second. Pure.
 */
export function fileTime(at: Date, { milliseconds = false } = {}): string {
  const text = at.toISOString().replaceAll(/[:.]/g, '-')
  return milliseconds ? text : text.replace(/-\d{3}Z$/, 'Z')
}
