/**
 * A list of jobs that may be very long: pages behind each other, of which those far from where one looks are let go and
 * fetched again by their token. How many there are in all is never asked.
 */
import { computed, signal } from "@preact/signals";
import type { BrokerError } from "../../../src/client/broker-error.ts";
import type { Job } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { faultOf } from "../../state/session.ts";
import { jobs } from "../../wire/calls.ts";
import { type JobsFilter, requestOf } from "./filter.ts";

const PAGE_SIZE = 200;
/** Pages in memory, on both sides of the one that is looked at. */
const KEPT_AROUND = 6;
/** Of the time that a page takes: a tenth of it goes into looking for news, at most. */
const REST = 9;

interface JobPage {
  /** Gets it again. */
  readonly token: string;
  /** Place of its first job in the list. */
  readonly from: number;
  readonly length: number;
  /** Undefined: let go. */
  readonly jobs: readonly Job[] | undefined;
}

export class Listing {
  readonly filter: JobsFilter;
  /** Whether all jobs are known. */
  readonly isWhole = signal(false);
  readonly error = signal<BrokerError | undefined>(undefined);
  readonly #pages = signal<readonly JobPage[]>([]);
  /** Jobs whose place is known. */
  readonly length = computed(() => {
    const last = this.#pages.value.at(-1);
    return last === undefined ? 0 : last.from + last.length;
  });
  #nextToken = "";
  #restedAt = 0;
  #isBusy = false;
  #isLeft = false;

  constructor(filter: JobsFilter) {
    this.filter = filter;
  }

  /** Undefined: not here just now. */
  at(index: number): Job | undefined {
    const pages = this.#pages.value;
    const page = pages[pageOf(pages, index)];
    return page?.jobs?.[index - page.from];
  }

  /** Fetches what is missing between these places, and what comes behind when the end is near. */
  async want(first: number, last: number): Promise<void> {
    // A page may be short, or empty, and have another behind it all the same.
    while (!this.#isBusy && !this.#isLeft) {
      const pages = this.#pages.peek();
      const near = pages.slice(pageOf(pages, first), pageOf(pages, last) + 1);
      const missing = near.find((page) => page.jobs === undefined);
      const isNearEnd = !this.isWhole.peek() && last + PAGE_SIZE / 2 >= this.length.peek();
      if (missing === undefined && !isNearEnd) return;
      const isFetched = missing === undefined ? await this.#append() : await this.#fetch(missing);
      if (!isFetched) return;
      this.#letGo(first, last);
    }
  }

  /** The first page anew, and what is wanted behind it, for who looks at the top. */
  async refresh(last: number): Promise<void> {
    if (this.#isBusy || this.#isLeft) return;
    const answer = await this.#call("");
    if (answer === undefined) return;
    this.#pages.value = [{ token: "", from: 0, length: answer.jobs.length, jobs: answer.jobs }];
    this.#goOn(answer.nextPageToken);
    await this.want(0, last);
  }

  /** How long it is to be left alone before it is fetched anew by itself: the longer, the dearer it is. */
  restMs(): number {
    return Math.max(0, this.#restedAt - performance.now());
  }

  /** Takes over what is known of a job that is shown. */
  patch(jobId: string, change: (job: Job) => Job): void {
    const isIt = (job: Job) => job.job?.id === jobId;
    this.#pages.value = this.#pages.peek().map((page) => {
      const { jobs: listed } = page;
      return listed?.some(isIt) ? { ...page, jobs: listed.map((job) => (isIt(job) ? change(job) : job)) } : page;
    });
  }

  /** Tries again after an error. */
  retry(first: number, last: number): void {
    this.error.value = undefined;
    void this.want(first, last);
  }

  leave(): void {
    this.#isLeft = true;
  }

  async #append(): Promise<boolean> {
    const token = this.#nextToken;
    const answer = await this.#call(token);
    if (answer === undefined) return false;
    const { jobs: listed } = answer;
    if (listed.length > 0) {
      const page = { token, from: this.length.peek(), length: listed.length, jobs: listed };
      this.#pages.value = [...this.#pages.peek(), page];
    }
    this.#goOn(answer.nextPageToken);
    return true;
  }

  async #fetch(page: JobPage): Promise<boolean> {
    const answer = await this.#call(page.token);
    if (answer === undefined) return false;
    // Jobs may have left meanwhile; those behind keep their places.
    const again = { ...page, jobs: answer.jobs.slice(0, page.length) };
    this.#pages.value = this.#pages.peek().map((one) => (one === page ? again : one));
    return true;
  }

  async #call(pageToken: string) {
    this.#isBusy = true;
    const since = performance.now();
    try {
      const answer = await jobs.listJobs({ ...requestOf(this.filter), pageSize: PAGE_SIZE, pageToken });
      const now = performance.now();
      this.#restedAt = now + (now - since) * REST;
      this.error.value = undefined;
      return this.#isLeft ? undefined : answer;
    } catch (thrown) {
      this.error.value = faultOf(thrown);
      return undefined;
    } finally {
      this.#isBusy = false;
    }
  }

  #goOn(nextToken: string): void {
    this.#nextToken = nextToken;
    this.isWhole.value = nextToken === "";
  }

  #letGo(first: number, last: number): void {
    const pages = this.#pages.peek();
    const [low, high] = [pageOf(pages, first) - KEPT_AROUND, pageOf(pages, last) + KEPT_AROUND];
    const isFar = (index: number) => index < low || index > high;
    if (!pages.some((page, index) => page.jobs !== undefined && isFar(index))) return;
    this.#pages.value = pages.map((page, index) => (isFar(index) ? { ...page, jobs: undefined } : page));
  }
}

/** The page that holds this place, by halving: pages differ in length. */
function pageOf(pages: readonly JobPage[], index: number): number {
  let [low, high] = [0, pages.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((pages[middle]?.from ?? 0) <= index) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}
