/** How large an attack is: whole for `npm run hostile`, smaller ones for the suite. */
import { readFileSync } from "node:fs";

export const FULL = process.env["HOSTILE"] === "full";
export const sized = (quick: number, full: number): number => (FULL ? full : quick);

/** As a report says it. */
export const count = (many: number, of: string): string => `${many.toLocaleString("en")} ${of}`;

/** What a process has open beside an attack's connections: its modules, pipes, the database. */
const OWN_FILES = 200;

/** Why so many connections cannot be had here; undefined where they can. Node has raised its limit as far as it may. */
export function tooFewFiles(connections: number): string | undefined {
  const allowed = filesAllowed();
  if (allowed >= connections + OWN_FILES) return undefined;
  return `${count(connections, "connections")} need more open files than the ${allowed} of \`ulimit -n\``;
}

/** Of this process; without a bound where the system does not tell. */
export function filesAllowed(): number {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
