/** Counting the ended jobs reads all of ai_job, so it may take longer than other statements. */
export const ENDED_TIMEOUT_MS = 30_000;

/** Whether a statement was ended by its timeout. For reads that a narrower request cures, which trying again does not. */
export function isTimeout(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // Drizzle keeps the database's own error as the cause.
  return (error as { code?: unknown }).code === "57014" || isTimeout(error.cause);
}
