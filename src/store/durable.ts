/**
 * SQL that writes a record to the log, and nothing else: the commit of its transaction waits until that, and all that
 * ended before it, is on the disk, and at the standby that commits wait for. Everybody may call it, unless somebody took
 * that away (serve-rights.ts).
 */
export const DURABLE = "pg_logical_emit_message(true, 'ai-job-broker', '')";
