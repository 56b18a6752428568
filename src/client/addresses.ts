/** The brokers that a program may call, and which of them is next. */

export interface Addresses {
  /** The one in use. */
  readonly current: string;
  readonly count: number;
  /** Moves on to the next one, round and round; answers it. */
  next(): string;
}

/**
 * Starts at a random one, so that many workers spread over the brokers. Throws a TypeError that names what is wrong with
 * an address.
 */
export function createAddresses(url: string | readonly string[], random: () => number = Math.random): Addresses {
  const urls = readAddresses(url);
  let at = Math.floor(random() * urls.length);
  const current = () => urls[at] as string;
  return {
    get current() {
      return current();
    },
    count: urls.length,
    next: () => {
      at = (at + 1) % urls.length;
      return current();
    },
  };
}

/** The origins of http:// and https:// addresses, checked. */
export function readAddresses(url: string | readonly string[]): string[] {
  const urls = typeof url === "string" ? [url] : [...url];
  if (urls.length === 0) throw new TypeError("url: give the address of one broker at least");
  return urls.map((one) => {
    const parsed = URL.canParse(one) ? new URL(one) : undefined;
    if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
      throw new TypeError(`url: ${JSON.stringify(one)} will not do; give http://HOST:PORT or https://HOST:PORT`);
    }
    return parsed.origin;
  });
}
