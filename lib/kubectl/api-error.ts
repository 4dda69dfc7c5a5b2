/** An answer of the API server that reports a failure: the Status object's reason and message, and the HTTP code. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly code: number
  readonly reason: string
  readonly details: { name?: string; kind?: string; causes?: { field?: string; message?: string }[] }

  constructor(code: number, status: { reason?: string; message?: string; details?: ApiError['details'] }) {
    super(status.message || `HTTP ${code}`)
    this.code = code
    this.reason = status.reason ?? ''
    this.details = status.details ?? {}
  }
}

/** Whether an error says that the object does not exist. */
export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.code === 404
}
