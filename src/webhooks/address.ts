/**
 * Which addresses an endpoint may have. A webhook's URL comes from an operator and is called from within the broker's own
 * network, so what is private, of this machine or of this link is refused by the resolved address, at the connection.
 */
import { BlockList, isIP } from "node:net";

const PRIVATE_V4 = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8], // this network
  ["10.0.0.0", 8], // private
  ["100.64.0.0", 10], // carriers' NAT
  ["127.0.0.0", 8], // loopback
  ["169.254.0.0", 16], // link-local, where clouds keep their metadata
  ["172.16.0.0", 12], // private
  ["192.0.0.0", 24], // protocol assignments
  ["192.0.2.0", 24], // documentation
  ["192.88.99.0", 24], // 6to4 relays, retired
  ["192.168.0.0", 16], // private
  ["198.18.0.0", 15], // benchmarks
  ["198.51.100.0", 24], // documentation
  ["203.0.113.0", 24], // documentation
  ["224.0.0.0", 4], // multicast
  ["240.0.0.0", 4], // reserved, and broadcast
] as const) {
  PRIVATE_V4.addSubnet(network, prefix);
}

/** All public addresses lie in 2000::/3; loopback, link-local, unique local, multicast and IPv4-mapped ones do not. */
const GLOBAL_V6 = new BlockList();
GLOBAL_V6.addSubnet("2000::", 3, "ipv6");

const PRIVATE_V6 = new BlockList();
for (const [network, prefix] of [
  ["2001::", 23], // protocol assignments; Teredo, which carries an IPv4 address
  ["2001:db8::", 32], // documentation
  ["2002::", 16], // 6to4, which carries an IPv4 address
  ["3fff::", 20], // documentation
] as const) {
  PRIVATE_V6.addSubnet(network, prefix, "ipv6");
}

/** IPv6-only networks reach IPv4 hosts so; the last 32 bits are the host's address. */
const NAT64 = new BlockList();
NAT64.addSubnet("64:ff9b::", 96, "ipv6");

/** Whether anybody on the internet could have this address. False for what is no address. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !PRIVATE_V4.check(address);
  // A zone (fe80::1%eth0) belongs to a link.
  if (family !== 6 || address.includes("%")) return false;
  if (NAT64.check(address, "ipv6")) return !PRIVATE_V4.check(lastBits(address));
  return GLOBAL_V6.check(address, "ipv6") && !PRIVATE_V6.check(address, "ipv6");
}

/** The last 32 bits of an IPv6 address as an IPv4 one. */
function lastBits(address: string): string {
  // URL writes each address in one form: groups in hex, the longest run of zeros as ::.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::").at(-1)?.split(":") ?? [];
  const [high = 0, low = 0] = ["0", "0", ...groups].slice(-2).map((group) => Number.parseInt(group || "0", 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}
