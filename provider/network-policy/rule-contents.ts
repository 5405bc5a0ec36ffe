/**
 * Peers and services of the rules of one rule set, and what of them is not as in the generation before: peers that came,
 * went or are others, and those whose rules changed.
 */
import { type AddressSet } from "./address-sets";
import { type ColumnReader, type ColumnWriter, grown } from "./columns";
import { Flips } from "./flips";
import { InternedLists } from "./interned";
import { coverage, setsOf } from "./peer-sets";
import { NONE, type Ranges, united, type Words } from "./ranges";

/** What changed in address sets. */
export interface SetChange {
  /** By number, before and now. */
  before: readonly (AddressSet | undefined)[];
  sets: readonly (AddressSet | undefined)[];
  /** Where a set matches otherwise; absent: nowhere. */
  differs(set: number, words: Words): Ranges | undefined;
}

export class RuleContents {
  /** Used once by each rule; see peer-sets. */
  peers = new InternedLists();
  services = new InternedLists();
  /** By peers: 1 where their rules changed. */
  touched = new Uint8Array(16);
  /** Whether rules for any peer changed. */
  everyoneTouched = false;
  /** Peers that are gone or others, with what they were. */
  private readonly exchanged = new Map<number, Uint32Array>();
  /** By peers: 1 where the generation before had none of this number. */
  private appeared = new Uint8Array(16);
  private changed = false;

  copy(): RuleContents {
    const copy = new RuleContents();
    copy.peers = this.peers.copy();
    copy.services = this.services.copy();
    return copy;
  }

  write(writer: ColumnWriter): void {
    this.peers.write(writer);
    this.services.write(writer);
  }

  static read(reader: ColumnReader): RuleContents {
    const contents = new RuleContents();
    contents.peers = InternedLists.read(reader);
    contents.services = InternedLists.read(reader);
    return contents;
  }

  /** Whether numbers of peers and services, + 1, are those of a rule that has these. */
  has(
    peers: number,
    services: number,
    content: Uint32Array | undefined,
    ranges: Uint32Array | undefined,
  ): boolean {
    return (
      peers === (content === undefined ? 0 : (this.peers.find(content) ?? -1) + 1 || -1) &&
      services === (ranges === undefined ? 0 : (this.services.find(ranges) ?? -1) + 1 || -1)
    );
  }

  /** A rule is there no more, or is about to become another. */
  release(peers: number, services: number): void {
    this.touch(peers);
    if (services > 0) this.services.uses[services - 1]!--;
    if (peers > 0 && --this.peers.uses[peers - 1]! === 0) this.remember(peers - 1, this.peers.at(peers - 1));
  }

  /**
   * Peers and services of a rule, by number + 1. `instead` are peers that the rule had: unless other rules have these,
   * the new ones get their number, so that classes that do not change keep theirs.
   */
  retain(
    content: Uint32Array | undefined,
    services: Uint32Array | undefined,
    instead = 0,
  ): { peers: number; services: number } {
    let peers = 0;
    if (content !== undefined) {
      peers = this.peersNumber(content, instead) + 1;
      this.peers.uses[peers - 1]!++;
    }
    this.touch(peers);
    if (services === undefined) return { peers, services: 0 };
    const number = this.services.intern(services);
    this.services.uses[number]!++;
    return { peers, services: number + 1 };
  }

  private peersNumber(content: Uint32Array, instead: number): number {
    const { peers } = this;
    const known = peers.find(content);
    if (known === undefined && instead > 0 && peers.uses[instead - 1] === 0) {
      peers.replace(instead - 1, content);
      return instead - 1;
    }
    const number = known ?? peers.intern(content);
    if (known !== undefined) return number;
    this.appeared = grown(this.appeared, number + 1);
    this.appeared[number] = 1;
    return number;
  }

  private touch(peers: number): void {
    this.changed = true;
    if (peers === 0) this.everyoneTouched = true;
    else {
      this.touched = grown(this.touched, peers);
      this.touched[peers - 1] = 1;
    }
  }

  private remember(peers: number, content: Uint32Array): void {
    if (this.appeared[peers] !== 1 && !this.exchanged.has(peers)) this.exchanged.set(peers, content.slice());
  }

  /** Whether the peers of some rule have a set. */
  names(set: number): boolean {
    for (let peers = 0; peers < this.peers.count; peers++) {
      if (!this.peers.has(peers) || this.peers.wordOf(peers, 0) === 0) continue;
      if (setsOf(this.peers.at(peers)).includes(set)) return true;
    }
    return false;
  }

  /** Whether there is anything to update. */
  changes({ differs }: SetChange): boolean {
    if (this.changed) return true;
    for (let peers = 0; peers < this.peers.count; peers++) {
      if (!this.peers.has(peers) || this.peers.wordOf(peers, 0) === 0) continue;
      const sets = setsOf(this.peers.at(peers));
      if (sets.some((set) => differs(set, 1) !== undefined || differs(set, 4) !== undefined)) return true;
    }
    return false;
  }

  /** Where what the peers match differs from the generation before, in one family. */
  flips(update: SetChange, words: Words): Flips {
    const flips = new Flips(words);
    const { before, sets } = update;
    const now = (peers: number) =>
      this.peers.uses[peers] === 0 ? NONE[words] : coverage(this.peers.at(peers), sets, words);
    for (const [peers, old] of this.exchanged) flips.add(peers, coverage(old, before, words), now(peers));
    for (let peers = 0; peers < this.peers.count; peers++) {
      if (this.appeared[peers] === 1) {
        flips.add(peers, NONE[words], now(peers));
        continue;
      }
      if (this.peers.uses[peers] === 0 || !this.peers.has(peers)) continue;
      if (this.peers.wordOf(peers, 0) === 0 || this.exchanged.has(peers)) continue;
      const content = this.peers.at(peers);
      const within = united(
        Array.from(setsOf(content), (set) => update.differs(set, words) ?? NONE[words]),
        words,
      );
      if (within.count === 0) continue;
      flips.add(peers, coverage(content, before, words, within), coverage(content, sets, words, within));
    }
    return flips;
  }
}
