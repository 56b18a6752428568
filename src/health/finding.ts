/** One line of `doctor`. */

export interface Finding {
  level: "ok" | "warn" | "FAIL";
  /** What was looked at: settings, node, tokens, port, database, schema, … */
  check: string;
  detail: string;
  /** What to do about it; absent when all is well. */
  advice?: string;
}

export function ok(check: string, detail: string): Finding {
  return { level: "ok", check, detail };
}

export function warn(check: string, detail: string, advice: string): Finding {
  return { level: "warn", check, detail, advice };
}

export function fail(check: string, detail: string, advice: string): Finding {
  return { level: "FAIL", check, detail, advice };
}
