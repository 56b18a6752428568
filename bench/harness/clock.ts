/**
 * One clock for all processes of a bench: Node's hrtime reads the system's monotonic clock, which counts from the boot
 * of the machine, so that times of two processes can be subtracted. A wall clock could be slewed between the two.
 */

/** Microseconds since the machine was booted. */
export function nowUs(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1e6 + nanos / 1e3;
}
