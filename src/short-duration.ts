/** Durations in a few characters, for people. */

/** `850ms`, `12s`, `3m`, `5h`, `2d`: the two largest units would be more than a table needs. */
export function shortDuration(ms: number): string {
  const size = Math.abs(ms);
  const [unit, name] =
    size < 1000
      ? [1, "ms"]
      : size < 120_000
        ? [1000, "s"]
        : size < 7_200_000
          ? [60_000, "m"]
          : size < 172_800_000
            ? [3_600_000, "h"]
            : [86_400_000, "d"];
  return `${Math.round(ms / (unit as number))}${name}`;
}
