import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { provider } from "../../../provider/adapters/dynamic";
import { providerText } from "../../../provider/adapters/provider-text";

const text = providerText("Attachment");
const inputs = {
  __provider: text,
  connection: { host: "edge-1.invalid" },
  specId: "shop/prod/Attachment/web",
  program: { spec: "shop/prod/Program/filter", entrypoint: "filter", type: "xdp" },
  xdp: { interface: "eth0" },
};

/** In a process of its own that cannot load anything native. */
function run(script: string): string {
  const root = resolve(__dirname, "../../..");
  return execFileSync(process.execPath, ["--no-addons", "-e", script], { cwd: root, encoding: "utf8" });
}

describe("the dynamic adapter", () => {
  const adapter = provider("Attachment");
  const configuration: Record<string, string> = { "ebpf:preview": "offline" };
  const config = { get: (key: string) => configuration[key], require: (key: string) => configuration[key]! };
  /** The engine's wrapper lets this call through before configure. */
  let early: Promise<{ inputs?: object }>;

  before(async () => {
    early = adapter.check({}, inputs) as typeof early;
    await adapter.configure!({ config } as never);
  });

  it("makes a call wait that came before configure", async () => {
    assert.deepEqual(((await early).inputs as { drift: string[] }).drift, []);
  });

  it("keeps what the SDK says of the phase out of the inputs", async () => {
    const { inputs: checked } = await adapter.check({}, { ...inputs, __applying: true });
    assert.deepEqual(checked, (await early).inputs);
  });

  it("answers a bad input with failures that name the property in their text", async () => {
    const { failures } = await adapter.check({}, { ...inputs, xdp: { interface: 1, mode: "fast" } });
    assert.deepEqual(failures, [
      { property: "", reason: "xdp.interface: expected string, received number" },
      { property: "", reason: "xdp.mode: expected one of auto, native, generic, offload" },
    ]);
  });

  it("finds a change when the state lacks the provider's text, as after a return from the plugin", async () => {
    const { inputs: checked } = await adapter.check({}, inputs);
    const state = { ...checked, incarnation: "i" };
    assert.equal((await adapter.diff("id", { ...state, __provider: text }, checked)).changes, false);
    assert.equal((await adapter.diff("id", state, checked)).changes, true);
  });

  it("throws errors without a stack, told in one line", async () => {
    const work = adapter.diff("edge-1/shop/prod/Attachment/web", { __provider: text }, inputs);
    await assert.rejects(work as Promise<unknown>, (error: Error) => {
      assert.match(
        error.message,
        /^read the state of Attachment "edge-1\/.*\/web": it has no connection\.host/,
      );
      // what the engine's wrapper prints beside the message
      assert.equal(`${error}: ${error.stack}`, "Attachment web: failed, see its error");
      return true;
    });
  });

  it("says what is wrong with the configuration in each call, and lets none wait for ever", async () => {
    const script = `
      require("tsx/cjs");
      const adapter = require("./provider/adapters/dynamic.ts").provider("Attachment");
      const config = { get: (key) => (key === "ebpf:preview" ? "ofline" : undefined) };
      (async () => {
        await adapter.configure({ config });
        const { failures } = await adapter.check({}, {});
        const error = await adapter.diff("id", {}, {}).catch((thrown) => thrown);
        console.log(JSON.stringify([failures[0].reason, error.message]));
      })();`;
    const printed = JSON.parse(run(script)) as string[];
    for (const text of printed)
      assert.match(text, /^read the configuration ebpf:preview: "ofline" is neither/);
    assert.equal(printed.length, 2);
  });

  it("loads nothing native", () => {
    const script = `
      require("tsx/cjs");
      const { provider } = require("./provider/adapters/dynamic.ts");
      provider("Program");
      console.log(Object.keys(require.cache).filter((file) => /koffi|\\.node$|provider\\/(agent|bpf)\\//.test(file)).join());`;
    assert.equal(run(script).trim(), "");
  });
});
