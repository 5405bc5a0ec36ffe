import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { withTables } from "../../../provider/schema/tables";

describe("README.md", () => {
  const text = readFileSync(resolve(__dirname, "../../../README.md"), "utf8");

  it("has the properties of every resource as the schemas have them (npx tsx scripts/docs.ts)", () => {
    assert.equal(text, withTables(text));
  });

  it("has a table for each kind of resource and hook", () => {
    const named = [...text.matchAll(/<!-- table: (\w+) -->/g)].map(([, name]) => name);
    const expected = ["Program", "Map", "MapEntries", "Attachment", "connection"];
    const hooks = ["xdp", "tcx", "tc", "cgroup", "tracepoint", "rawTracepoint"];
    assert.deepEqual(named.sort(), [...expected, ...hooks].sort());
  });
});
