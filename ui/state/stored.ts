/** A choice of the user's that outlives the visit. */
import { type Signal, signal } from "@preact/signals";

/** `known`: what may be stored; anything else counts as `fallback`. */
export function stored<T extends string>(name: string, known: readonly T[], fallback: T): Signal<T> {
  const key = `ai-job-broker.${name}`;
  const found = read(key) as T;
  const choice = signal(known.includes(found) ? found : fallback);
  choice.subscribe((value) => write(key, value === fallback ? null : value));
  return choice;
}

// A browser that keeps nothing throws.
function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // The choice holds for this visit.
  }
}
