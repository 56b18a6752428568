/** The certificate, key and client CA as they are on disk, and what is wrong with them, by the names of the settings. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";

/** Paths. */
export interface TlsFiles {
  /** TLS_CERT_FILE: the chain, the server's own first. */
  cert: string;
  /** TLS_KEY_FILE. */
  key: string;
  /** TLS_CLIENT_CA_FILE: clients must show a certificate that one of these signed. */
  clientCa?: string | undefined;
}

/** The same as PEM texts. */
export interface TlsTexts {
  cert: string;
  key: string;
  clientCa?: string | undefined;
}

const SETTINGS = { cert: "TLS_CERT_FILE", key: "TLS_KEY_FILE", clientCa: "TLS_CLIENT_CA_FILE" } as const;

/** Reads all. Rejects with an Error that names the setting, the path and the system's reason. */
export async function readTls(files: TlsFiles): Promise<TlsTexts> {
  const read = async (name: keyof TlsFiles) => {
    try {
      return await readFile(files[name] ?? "", "utf8");
    } catch (err) {
      const why = (err as NodeJS.ErrnoException).code ?? (err as Error).message;
      throw new Error(`${SETTINGS[name]}: ${files[name]} cannot be read (${why})`, { cause: err });
    }
  };
  const [cert, key] = await Promise.all([read("cert"), read("key")]);
  return files.clientCa === undefined ? { cert, key } : { cert, key, clientCa: await read("clientCa") };
}

/** Why these cannot be used; undefined: they can. */
export function tlsFault({ cert, key, clientCa }: TlsTexts, nowMs: number): string | undefined {
  const [own] = certificates(cert);
  if (own === undefined) return `${SETTINGS.cert} holds no PEM certificate`;
  if (Date.parse(own.validTo) < nowMs) return `${SETTINGS.cert}: the certificate has expired (${own.validTo})`;
  try {
    const isPair = own.checkPrivateKey(createPrivateKey(key));
    if (!isPair) return `${SETTINGS.key} is not the key of the first certificate in ${SETTINGS.cert}`;
  } catch {
    return `${SETTINGS.key} holds no PEM private key that is readable without a password`;
  }
  if (clientCa !== undefined && certificates(clientCa).length === 0)
    return `${SETTINGS.clientCa} holds no PEM certificate`;
  try {
    createSecureContext({ cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) });
    return undefined;
  } catch (err) {
    return `${SETTINGS.cert} and ${SETTINGS.key} cannot be used together (${(err as Error).message})`;
  }
}

/** Whose certificate it is and until when, for the log. */
export function describeTls({ cert }: TlsTexts): { subject: string; valid_to: string } {
  const [own] = certificates(cert);
  return { subject: (own?.subjectAltName ?? own?.subject ?? "").slice(0, 200), valid_to: own?.validTo ?? "" };
}

/** All certificates of a text; none, when one of them cannot be read. */
function certificates(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED )?CERTIFICATE-----/g);
  try {
    return (blocks ?? []).map((block) => new X509Certificate(block));
  } catch {
    return [];
  }
}
