/** TLS certificates for 127.0.0.1 and localhost, made on the spot: node has no call for it, and openssl may be absent. */
import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto";

/** PEM texts. */
export interface Pem {
  cert: string;
  key: string;
}

export interface CertificateOptions {
  /** Who signs it; absent: it signs itself. */
  issuer?: Pem;
  /** Whether it may sign others. */
  isCa?: boolean;
  /** Its common name, and its issuer's; default localhost. */
  name?: string;
  issuerName?: string;
  /** Whether it is for 127.0.0.1, too; default true. */
  forAddress?: boolean;
  /** From now, in days; negative: it has expired. */
  days?: number;
}

/** Valid from a month ago until tomorrow, unless told. */
export function selfSigned(options: CertificateOptions = {}): Pem {
  const { issuer, isCa = false, name = "localhost", issuerName = name, forAddress = true, days = 1 } = options;
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ecdsaWithSha256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
  const altNames = sequence(
    tagged(0x82, Buffer.from("localhost")),
    ...(forAddress ? [tagged(0x87, Buffer.from([127, 0, 0, 1]))] : []),
  );
  const subjectAltName = sequence(oid(0x55, 0x1d, 0x11), tagged(0x04, altNames));
  const constraints = sequence(oid(0x55, 0x1d, 0x13), tagged(0x04, sequence(tagged(0x01, Buffer.from([0xff])))));
  const body = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))), // version 3
    tagged(0x02, Buffer.from([1])), // serial number
    ecdsaWithSha256,
    commonName(issuerName),
    sequence(time(Date.now() - 30 * 86_400_000), time(Date.now() + days * 86_400_000)),
    commonName(name),
    publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(subjectAltName, ...(isCa ? [constraints] : []))),
  );
  const signer = issuer === undefined ? privateKey : createPrivateKey(issuer.key);
  const signature = Buffer.concat([Buffer.from([0]), sign("sha256", body, signer)]);
  const der = sequence(body, ecdsaWithSha256, tagged(0x03, signature));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function commonName(name: string): Buffer {
  return sequence(set(sequence(oid(0x55, 0x04, 0x03), tagged(0x0c, Buffer.from(name)))));
}

function tagged(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, ...parts);
}

function set(...parts: Buffer[]): Buffer {
  return tagged(0x31, ...parts);
}

function oid(...bytes: number[]): Buffer {
  return tagged(0x06, Buffer.from(bytes));
}

function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return tagged(0x18, Buffer.from(text)); // GeneralizedTime
}
