import assert from "node:assert/strict";
import { withDefaults, withoutDefaults } from "../../../provider/lifecycle/defaults";
import { diffInputs } from "../../../provider/lifecycle/diff";
import { map } from "../../../provider/resources/map";

describe("Defaults of inputs", () => {
  const inputs = { connection: { host: "h" }, specId: "p/s/Map/m", drift: [], type: "hash", key: "u32" };

  it("are left out of what the engine holds, and there for a definition", () => {
    const full = { ...inputs, flags: [], mapDataPolicy: "fail", onUnreachable: "error" };
    assert.deepEqual(withoutDefaults(map, full), inputs);
    assert.deepEqual(withDefaults(map, inputs), full);
    const other = { ...inputs, flags: ["mmapable"], mapDataPolicy: "migrate", onUnreachable: "forget" };
    assert.deepEqual(withoutDefaults(map, other), other);
  });

  it("make no difference whether written or not", () => {
    const written = { ...inputs, flags: [], mapDataPolicy: "fail" };
    assert.equal(diffInputs(map, written, inputs).changes, false);
    assert.equal(diffInputs(map, inputs, written).changes, false);
    const { paths } = diffInputs(map, { ...inputs, mapDataPolicy: "migrate" }, inputs);
    assert.deepEqual(paths, { mapDataPolicy: "update" });
  });
});
