/** What the process's exit code says; `--help` prints this list. */

export const EXIT = { ok: 0, failed: 1, usage: 2, notDone: 3, unreachable: 4, denied: 5 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The list as people read it. */
export const EXIT_HELP = `Exit codes:
  0    done
  1    failed: the broker refused or broke, a job ended FAILED, doctor found a FAIL
  2    wrong usage: option, argument, payload or setting
  3    not found or not done: no such job, a job that cannot be cancelled or retried, --timeout passed
  4    the broker or the database cannot be reached
  5    the token is missing, wrong or of the wrong side
  130  ended by Ctrl-C (SIGINT), 143 by SIGTERM, before it was done`;
