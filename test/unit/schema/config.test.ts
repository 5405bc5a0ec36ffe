import assert from "node:assert/strict";
import { decodeConfig, providerConfigSchema } from "../../../provider/schema/config";

describe("Configuration of the provider", () => {
  it("arrives as text, JSON where it is no text", () => {
    const decoded = decodeConfig({
      connection: '{"host":"edge-1","port":2222}',
      autoRefresh: "true",
      preview: "offline",
      owner: "12",
    });
    assert.deepEqual(decoded, {
      connection: { host: "edge-1", port: 2222 },
      autoRefresh: true,
      preview: "offline",
      owner: "12",
    });
    assert.ok(providerConfigSchema.safeParse(decoded).success);
  });

  it("may also arrive as values, and text that is no JSON stays for the schema to refuse", () => {
    assert.deepEqual(decodeConfig({ connection: { host: "a" }, autoRefresh: false }), {
      connection: { host: "a" },
      autoRefresh: false,
    });
    const decoded = decodeConfig({ connection: "edge-1" });
    assert.deepEqual(decoded, { connection: "edge-1" });
    assert.deepEqual(
      providerConfigSchema.safeParse(decoded).error?.issues.map(({ path }) => path),
      [["connection"]],
    );
  });
});
