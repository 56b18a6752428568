/** One direction of a connection: bytes go out in the order in which they came, later, not now, or never. */
import type { Socket } from "node:net";

interface Piece {
  dueAt: number;
  /** Undefined: the end of the stream. */
  bytes: Buffer | undefined;
}

export class Lane {
  /** What comes is lost. */
  dropping = false;
  delayMs = 0;
  /** Asked about each piece that comes: whether it may pass. */
  admits: () => boolean = () => true;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #pieces: Piece[] = [];
  #stalled = false;
  #timer: NodeJS.Timeout | undefined;

  /** `onDrop` is told of each piece that is lost. */
  constructor(from: Socket, to: Socket, onDrop: () => void = () => undefined) {
    this.#from = from;
    this.#to = to;
    from.on("data", (bytes: Buffer) => {
      if (this.dropping) onDrop();
      else if (this.admits()) this.#put(bytes);
    });
    from.on("end", () => this.dropping || this.#put(undefined));
    to.on("drain", () => from.resume());
  }

  stall(stalled: boolean): void {
    this.#stalled = stalled;
    this.#move();
  }

  /** Forgets what is under way. */
  end(): void {
    this.dropping = true;
    this.#pieces.length = 0;
    clearTimeout(this.#timer);
  }

  #put(bytes: Buffer | undefined): void {
    this.#pieces.push({ dueAt: performance.now() + this.delayMs, bytes });
    this.#move();
  }

  #move(): void {
    clearTimeout(this.#timer);
    while (!this.#stalled && !this.dropping) {
      const first = this.#pieces[0];
      if (first === undefined) return;
      const leftMs = first.dueAt - performance.now();
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.#move(), Math.ceil(leftMs));
        return;
      }
      this.#pieces.shift();
      if (first.bytes === undefined) this.#to.end();
      else if (!this.#to.destroyed && !this.#to.write(first.bytes)) this.#from.pause();
    }
  }
}
