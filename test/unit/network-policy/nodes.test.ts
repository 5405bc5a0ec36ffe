/** What each form of a node holds, read back and looked up. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  kindOf,
  LONGS,
  NODE,
  OFFSETS,
  RANGES,
  reference,
  SHORTS,
  SPREAD,
} from "../../../provider/network-policy/cells";
import { CellSpace } from "../../../provider/network-policy/cell-space";
import { walk } from "../../../provider/network-policy/lookup";
import {
  type DigitSize,
  MOST_RUNS,
  releaseRuns,
  runsOf,
  writeNode,
} from "../../../provider/network-policy/nodes";

describe("a node of a trie", () => {
  it("has as its form the smallest that its runs fit in", () => {
    const kind = (size: DigitSize, count: number, step: number, strongest?: number) => {
      const starts = Uint32Array.from({ length: count }, (_, i) => i);
      const references = starts.map((i) => i * step);
      return kindOf(writeNode(CellSpace.empty(1), size, { starts, references }, 0, count, strongest));
    };
    assert.equal(kind(1, 5, 1), NODE);
    assert.equal(kind(1, 6, 1), SPREAD);
    assert.equal(kind(4, 8, 1), LONGS);
    assert.equal(kind(2, 15, 1), OFFSETS);
    assert.equal(kind(2, 16, 1), RANGES);
    assert.equal(kind(2, 3, 65534), OFFSETS);
    assert.equal(kind(2, 3, 65535), SHORTS, "offsets have 16 bits");
    assert.equal(kind(2, 11, 65535), RANGES);
    assert.equal(kind(2, 2, reference(NODE, 1)), SHORTS, "offsets are of leaves");
    assert.equal(kind(2, 10, 1, 7), SHORTS, "rows have none");
  });

  it("gives the reference of each run, and its cells back", () => {
    fc.assert(
      fc.property(nodes, ({ size, starts, references, strongest }) => {
        const space = CellSpace.empty(1);
        const live = space.live;
        const ref = writeNode(space, size, { starts, references }, 0, starts.length, strongest);
        const runs = runsOf(space, ref);
        assert.deepEqual([runs.size, runs.starts, runs.references], [size, starts, references]);
        const words = space.finish().flat();
        starts.forEach((start, run) => {
          const last = (run + 1 < starts.length ? starts[run + 1]! : 256 ** size) - 1;
          for (const digit of [start, last]) {
            const key = { words: Uint32Array.of((digit << (32 - 8 * size)) >>> 0), at: 0, size: 1 } as const;
            assert.equal(walk(words, ref, key), references[run]);
          }
        });
        releaseRuns(space, ref, runs);
        assert.equal(space.live, live);
      }),
      { numRuns: 1000 },
    );
  });
});

/** Payloads of one node: close to each other, or not; 0 among them. */
const payloads = fc.constantFrom(
  fc.oneof(fc.integer({ min: 1_000_000, max: 1_065_000 }), fc.constant(0)),
  fc.oneof(fc.nat({ max: 2 ** 28 }), fc.constant(0)),
);
const nodes = fc
  .constantFrom<DigitSize>(1, 2, 4)
  .chain((size) =>
    fc.record({
      size: fc.constant(size),
      starts: fc
        .uniqueArray(fc.nat({ max: 256 ** size - 1 }), { maxLength: MOST_RUNS[size] - 1 })
        .map((starts) => Uint32Array.from(new Set([0, ...starts.sort((a, b) => a - b)]))),
      references: payloads.chain((payload) => fc.array(payload, { minLength: 256, maxLength: 256 })),
      strongest: fc.option(fc.nat({ max: 2 ** 28 }), { nil: undefined }),
    }),
  )
  .map(({ references, ...node }) => ({
    ...node,
    references: Uint32Array.from(references.slice(0, node.starts.length)),
  }));
