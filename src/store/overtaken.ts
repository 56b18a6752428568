/**
 * Moves that take a job by its id, in whatever state it is. Such a statement may wait for the job's lock while another
 * moves the job; it then has the newest job, but its snapshot shows the state and result rows of the one before. It
 * leaves such a job alone and says so (`moved`), and goes again, when it sees everything. Moves that bring a token need
 * none of this: whoever has the token was given it by a statement that had ended.
 */

/** Runs the statement, then again for the items that were moved under it; answers in the order of `items`. */
export async function untilSeen<I, R extends { moved: boolean }>(
  items: I[],
  run: (items: I[]) => Promise<R[]>,
): Promise<R[]> {
  const rows = [...(await run(items))];
  for (;;) {
    const again = rows.flatMap((row, at) => (row.moved ? [at] : []));
    if (again.length === 0) return rows;
    const next = await run(again.map((at) => items[at] as I));
    again.forEach((at, n) => {
      rows[at] = next[n] as R;
    });
  }
}
