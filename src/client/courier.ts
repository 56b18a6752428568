/** Decides who brings reports and releases: the stream while there is one, unary calls after a moment without. */
import { type Carriers, isUnreadable, streamCarriers } from "./carriers.ts";
import type { Releases, Reports } from "./reports.ts";
import type { Session, SessionEnd } from "./session.ts";

export interface CourierOptions {
  reports: Reports;
  releases: Releases;
  unary: Carriers;
}

/** Most streams are back sooner, and take what waits along. */
const UNARY_AFTER_MS = 1_000;

export class Courier {
  readonly #options: CourierOptions;
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isPatient = true;

  constructor(options: CourierOptions) {
    this.#options = options;
  }

  /** By this stream from now on, until it ends. */
  byStream(session: Session): void {
    clearTimeout(this.#timer);
    this.#session = session;
    this.#use(streamCarriers(session));
    void session.ended.then((end) => this.#ended(session, end));
  }

  /** By unary calls from now on, until there is a stream. */
  byCalls(): void {
    clearTimeout(this.#timer);
    this.#session = undefined;
    this.#use(this.#options.unary);
  }

  /** No new stream is to be expected: when there is none, calls are made at once. */
  hurry(): void {
    this.#isPatient = false;
    if (this.#session === undefined) this.byCalls();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #ended(session: Session, { error }: SessionEnd): void {
    if (this.#session !== session) return;
    if (error !== undefined && isUnreadable(error)) {
      const { reports, releases } = this.#options;
      const { field = "reports" } = error;
      if (field.startsWith("reports")) reports.refuseAll(error);
      if (field.startsWith("release")) releases.refuseAll(error);
    }
    this.#session = undefined;
    if (this.#isPatient) {
      this.#use(undefined);
      this.#timer = setTimeout(() => this.byCalls(), UNARY_AFTER_MS);
    } else {
      this.byCalls();
    }
  }

  #use(carriers: Carriers | undefined): void {
    this.#options.reports.carryBy(carriers?.reports);
    this.#options.releases.carryBy(carriers?.releases);
  }
}
