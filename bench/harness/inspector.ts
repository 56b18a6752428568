/** A process that was started with --inspect=127.0.0.1:0, spoken to as a debugger would. */
import { readFileSync } from "node:fs";

const ADDRESS = /Debugger listening on (ws:\S+)/g;

export class Inspector implements Disposable {
  readonly #socket: WebSocket;
  #last = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** Its address is in what the process has logged to this file. */
  static async open(logFile: string): Promise<Inspector> {
    const url = [...readFileSync(logFile, "utf8").matchAll(ADDRESS)].at(-1)?.[1];
    if (url === undefined) throw new Error(`no inspector is named in ${logFile}`);
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new Inspector(socket);
  }

  /** A method of the DevTools protocol. */
  ask<T>(method: string, params: object = {}): Promise<T> {
    const socket = this.#socket;
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      const hear = ({ data }: MessageEvent) => {
        const message = JSON.parse(String(data)) as { id?: number; result: T; error?: object };
        if (message.id !== id) return;
        socket.removeEventListener("message", hear);
        if (message.error === undefined) resolve(message.result);
        else reject(new Error(`${method}: ${JSON.stringify(message.error)}`));
      };
      socket.addEventListener("message", hear);
      socket.send(JSON.stringify({ id, method, params }));
    });
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
