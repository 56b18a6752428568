/** One connection that many workers share, made again when it is needed and gone. */
import type { ClientHttp2Session } from "node:http2";
import { openConnection } from "./work-connection.ts";

export class SharedLine {
  readonly #url: string;
  #session: Promise<ClientHttp2Session> | undefined;
  #closed = false;

  constructor(url: string) {
    this.#url = url;
  }

  /** The connection in use, or a new one; all that ask meanwhile wait for the same. Rejects when there is no broker. */
  async session(): Promise<ClientHttp2Session> {
    if (this.#closed) throw new Error("the line was closed");
    this.#session ??= this.#connect();
    return await this.#session;
  }

  close(): void {
    this.#closed = true;
    void this.#session?.then((session) => session.destroy()).catch(() => undefined);
  }

  #connect(): Promise<ClientHttp2Session> {
    const connecting = openConnection(this.#url);
    const forget = () => {
      if (this.#session === connecting) this.#session = undefined;
    };
    void connecting.then((session) => {
      session.once("close", forget);
      // No new stream is possible on it, though those under way may go on.
      session.once("goaway", forget);
    }, forget);
    return connecting;
  }
}
