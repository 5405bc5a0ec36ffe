import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { BpfObject, summarizeVerifierLog } from "../../../provider/bpf";
import { EbpfError } from "../../../provider/errors";
import { closesEverything, compile } from "./support";

const golden = path.resolve("test/golden/verifier");

/** The reason as kernels from 5.10 on word it. */
const REASONS: Record<string, RegExp> = {
  null_check_missing: /^R0 invalid mem access '(map_value_or_null|map_value)'/,
  packet_bounds_missing: /^invalid access to packet, off=12 size=1/,
  context_out_of_bounds: /invalid bpf_context access off=200 size=4/,
  helper_not_allowed: /(unknown func|program of this type cannot use helper) .*bpf_set_hash_invalid/,
  endless_loop: /^(infinite loop detected at insn|BPF program is too large)/,
};

describe("verifier verdicts", () => {
  closesEverything();

  for (const [entrypoint, reason] of Object.entries(REASONS)) {
    it(`of ${entrypoint} become one line and a place in the source`, () => {
      using object = BpfObject.open(compile("rejected"), { name: "rejected" });
      for (const program of object.programs()) program.setAutoload(program.name === entrypoint);
      assert.throws(
        () => object.load(),
        (error) => {
          assert.ok(EbpfError.is(error, "verifier"), String(error));
          assert.equal(error.details.entrypoint, entrypoint);
          assert.match(error.details.summary, reason);
          assert.equal(error.details.summary.split("\n").length, 1);
          assert.ok(error.details.log.split("\n").length > 1);
          assert.match(error.details.sourceLine ?? "", /^rejected\.bpf\.c:\d+$|\S/);
          return true;
        },
      );
    });
  }

  for (const file of readdirSync(golden).filter((name) => name.endsWith(".txt"))) {
    it(`of ${file} read as they did`, () => {
      const log = readFileSync(path.join(golden, file), "utf8");
      const expected = readFileSync(path.join(golden, file.replace(/txt$/, "json")), "utf8");
      assert.deepEqual(summarizeVerifierLog(log), JSON.parse(expected));
    });
  }

  it("say so when the kernel gave no reason", () => {
    assert.deepEqual(summarizeVerifierLog("processed 4 insns (limit 1000000)\n"), {
      summary: "the kernel gave no reason",
    });
  });
});
