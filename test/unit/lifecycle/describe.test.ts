import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync } from "node:fs";
import { EbpfError } from "../../../provider/errors";
import { describe as describeError } from "../../../provider/lifecycle/describe";

describe("the text of a host's error", () => {
  const place = { host: "deploy@edge-1", kernel: "5.10.0" };

  it("says a verifier's rejection in one line and names the file of the whole log", () => {
    const error = new EbpfError("verifier", "load xdp_filter: rejected", {
      entrypoint: "xdp_filter",
      summary: "R1 invalid mem access 'scalar'",
      sourceLine: "filter.bpf.c:41",
      log: "0: R1=ctx()\nR1 invalid mem access 'scalar'\n",
    });
    const text = describeError(error, place);
    const start =
      "verifier rejects xdp_filter on deploy@edge-1 (kernel 5.10.0): " +
      "R1 invalid mem access 'scalar' at filter.bpf.c:41; full log in ";
    assert.ok(text.startsWith(start), text);
    const file = text.slice(start.length);
    try {
      assert.equal(readFileSync(file, "utf8"), error.details.log);
      assert.equal(statSync(file).mode & 0o077, 0, "nobody else may read it");
    } finally {
      rmSync(file, { force: true });
    }
  });

  it("names host, cause and remedy once, and leaves the property to whoever shows it", () => {
    const error = new EbpfError(
      "not-found",
      "attach xdp to eth9: no such interface",
      { what: "interface", name: "eth9" },
      { host: "deploy@edge-1", property: "xdp.interface", remedy: "there are eth0 and lo" },
    );
    assert.equal(
      describeError(error, place),
      "deploy@edge-1: attach xdp to eth9: no such interface; there are eth0 and lo",
    );
  });
});
