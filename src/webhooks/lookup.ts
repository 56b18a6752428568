/** How an endpoint's name is resolved: once for all who ask at the same time, and only to addresses that it may have. */
import { type LookupAddress, lookup as systemLookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { isPublicAddress } from "./address.ts";

/** Resolves a name to all of its addresses, as node:dns does. */
export type Resolve = (
  name: string,
  options: { all: true },
  done: (err: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

export class PrivateAddress extends Error {
  override readonly name = "PrivateAddress";

  constructor(host: string, address: string) {
    const where = host === address ? address : `${host} (${address})`;
    super(`${where} is a private, local or reserved address: give a public one, or set WEBHOOK_ALLOW_PRIVATE=true`);
  }
}

/**
 * A lookup for node:http and node:https. What it answers is what is connected to, so a name that resolves to something
 * else a moment later gains nothing. Where one of a name's addresses is refused, all are: such a name is no accident.
 */
export function guardedLookup(allowPrivate: boolean, resolve: Resolve = systemLookup as Resolve): LookupFunction {
  // The system's resolver blocks one of a few threads of the process: a slow name must not take them all.
  const underWay = new Map<string, Promise<LookupAddress[]>>();
  function addressesOf(host: string): Promise<LookupAddress[]> {
    const known = underWay.get(host);
    if (known !== undefined) return known;
    const asked = new Promise<LookupAddress[]>((done, fail) => {
      resolve(host, { all: true }, (err, addresses) => (err === null ? done(addresses) : fail(err)));
    }).finally(() => underWay.delete(host));
    underWay.set(host, asked);
    return asked;
  }
  return (host, { all, family }, callback) => {
    addressesOf(host).then(
      (addresses) => {
        const refused = allowPrivate ? undefined : addresses.find(({ address }) => !isPublicAddress(address));
        const [first] = addresses.filter((one) => family === undefined || family === 0 || family === one.family);
        if (refused !== undefined) callback(new PrivateAddress(host, refused.address), "");
        else if (first === undefined)
          callback(Object.assign(new Error(`no address of ${host}`), { code: "ENOTFOUND" }), "");
        else if (all) callback(null, addresses);
        else callback(null, first.address, first.family);
      },
      (err: NodeJS.ErrnoException) => callback(err, ""),
    );
  };
}
