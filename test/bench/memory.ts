/** What reading memory costs on this machine at this moment, where neighbours may share its cache. */

const LINES = 1 << 20;
const LINE_WORDS = 16;

/** 64 MB of which each line names another one, all of them in one round. */
export class RandomWalk {
  private readonly next = new Uint32Array(LINES * LINE_WORDS);
  private at = 0;

  constructor() {
    const order = Uint32Array.from({ length: LINES }, (_, line) => line);
    // Sattolo's shuffle: one cycle, so that no walk stays in a part that a cache holds
    for (let i = LINES - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * i);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    order.forEach((to, line) => (this.next[line * LINE_WORDS] = to * LINE_WORDS));
  }

  /** Nanoseconds of a step, which is one read that waits for the one before. */
  time(): number {
    const begin = process.hrtime.bigint();
    for (let step = 0; step < LINES; step++) this.at = this.next[this.at]!;
    return Number(process.hrtime.bigint() - begin) / LINES;
  }
}
