/** Addresses where peers begin or cease to match, from one generation to the next. */
import { grown } from "./columns";
import { Cuts } from "./cuts";
import type { InternedLists } from "./interned";
import { ascending, compareAt, type Ranges, step, type Words } from "./ranges";

export class Flips {
  private count = 0;
  private at: Uint32Array;
  private peers = new Uint32Array(16);

  constructor(private readonly words: Words) {
    this.at = new Uint32Array(16 * words);
  }

  /** What `peers` match becomes another; at edges of both nothing changes. */
  add(peers: number, before: Ranges, after: Ranges): void {
    const { words } = this;
    const most = 2 * (before.count + after.count);
    if (most === 0) return;
    this.at = grown(this.at, (this.count + most) * words);
    this.peers = grown(this.peers, this.count + most);
    const start = this.count;
    if (before.count === 0 || after.count === 0) {
      this.count = writeEdges(before.count === 0 ? after : before, this.at, start);
    } else {
      const [old, now] = [edgesOf(before), edgesOf(after)];
      const [olds, nows] = [old.length / words, now.length / words];
      for (let i = 0, j = 0; i < olds || j < nows;) {
        const order = i === olds ? 1 : j === nows ? -1 : compareAt(old, i, now, j, words);
        const [source, index] = order < 0 ? [old, i++] : [now, j++];
        if (order === 0) i++;
        else {
          for (let word = 0; word < words; word++) {
            this.at[this.count * words + word] = source[index * words + word]!;
          }
          this.count++;
        }
      }
    }
    this.peers.fill(peers, start, this.count);
  }

  /** Numbers of lists in `changes`, of the peers whose match is another from there on. List 0 is empty. */
  swept(changes: InternedLists): Cuts {
    const { words, at, peers, count } = this;
    const order = ascending(at, count, words);
    const cuts = new Cuts(words, count);
    let active = new Uint32Array(64);
    let size = 0;
    for (let i = 0, previous = 0; i < count;) {
      const here = order[i]!;
      for (; i < count && compareAt(at, order[i]!, at, here, words) === 0; i++) {
        const flipped = peers[order[i]!]!;
        let place = size;
        while (place > 0 && active[place - 1]! >= flipped) place--;
        if (place < size && active[place] === flipped) active.copyWithin(place, place + 1, size--);
        else {
          active = grown(active, size + 1);
          active.copyWithin(place + 1, place, size++);
          active[place] = flipped;
        }
      }
      const change = changes.intern(active, size);
      if (change !== previous) cuts.add(at, here * words, change);
      previous = change;
    }
    return cuts;
  }
}

function edgesOf(ranges: Ranges): Uint32Array {
  const edges = new Uint32Array((2 * ranges.count + 1) * ranges.words);
  return edges.subarray(0, writeEdges(ranges, edges, 0) * ranges.words);
}

/** Writes first addresses of ranges, and of the gaps after them, from the `at`th on; gives where the next belongs. */
function writeEdges({ words, count, first, last }: Ranges, edges: Uint32Array, at: number): number {
  for (let i = 0; i < count; i++) {
    for (let word = 0; word < words; word++) edges[at * words + word] = first[i * words + word]!;
    at++;
    // beyond the last address of all nothing ends
    if (step(edges, at, last, i, words, 1)) at++;
  }
  return at;
}
