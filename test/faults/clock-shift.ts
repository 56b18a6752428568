/** Loaded with `--import` before a process: its wall clock is off by the hours in this module's own URL. */
const MS = Number(new URL(import.meta.url).searchParams.get("hours") ?? 0) * 3_600_000;
const RealDate = Date;

class ShiftedDate extends RealDate {
  // Without arguments it is 'now', and only that is shifted.
  constructor(...args: unknown[]) {
    if (args.length === 0) super(RealDate.now() + MS);
    else super(...(args as [number]));
  }

  static override now(): number {
    return RealDate.now() + MS;
  }
}

globalThis.Date = ShiftedDate as DateConstructor;
