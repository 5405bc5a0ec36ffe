import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(__dirname, "../../..");

describe("docs/network-policy.md", () => {
  it("has a test for each sentence, with its number in the title", () => {
    const text = readFileSync(join(root, "docs/network-policy.md"), "utf8");
    const sentences = [...text.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    assert.deepEqual(
      sentences,
      sentences.map((_, index) => index + 1),
    );
    const tested = new Set<number>();
    for (const folder of ["test/unit", "test/kernel", "test/kernel/agent"]) {
      for (const name of readdirSync(join(root, folder, "network-policy"))) {
        const file = join("network-policy", name);
        const titles = readFileSync(join(root, folder, file), "utf8").matchAll(/^ *it\(["`]([\d, ]+): /gm);
        for (const [, numbers] of titles)
          for (const number of numbers!.split(",")) tested.add(Number(number));
      }
    }
    assert.deepEqual(
      sentences.filter((number) => !tested.has(number)),
      [],
    );
  });
});
