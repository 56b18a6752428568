/** Finds names that were probably meant as another name. */

// Names of other programs that happen to be near one of ours.
const INNOCENT = ["SSL_CERT_FILE", "SSL_KEY_FILE", "TEST_DATABASE_URL"];

/** Names in `given` that are not in `known` but so close to one that a slip is likely, with that one. */
export function nearMisses(given: string[], known: string[]): { given: string; meant: string }[] {
  const taken = new Set(given);
  const misses: { given: string; meant: string }[] = [];
  for (const name of given) {
    if (known.includes(name) || INNOCENT.includes(name)) continue;
    // A known name that is set itself was not mistyped, and names as short as HOST have innocent neighbours.
    const meant = known.find((one) => !taken.has(one) && one.length >= 8 && isNear(name, one));
    if (meant !== undefined) misses.push({ given: name, meant });
  }
  return misses;
}

function isNear(a: string, b: string): boolean {
  const [x, y] = [plain(a), plain(b)];
  if (x === y) return true;
  return Math.abs(x.length - y.length) <= 2 && distance(x, y) <= (b.length >= 12 ? 2 : 1);
}

function plain(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "");
}

/** How many letters have to be changed, added, dropped or swapped with their neighbour. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + cost);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) best = Math.min(best, at(beforeLast, j - 2) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
