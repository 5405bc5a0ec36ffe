import assert from "node:assert/strict";
import { type Lifecycle, UNKNOWN } from "../../../provider/lifecycle";
import { attachmentInputs, Host } from "./host";

describe("diff", () => {
  let lifecycle: Lifecycle;
  let inputs: Record<string, unknown>;
  let state: Record<string, unknown>;
  const kind = "Attachment";

  before(async () => {
    lifecycle = new Host().lifecycle({ "ebpf:preview": "offline" });
    ({ inputs } = await lifecycle.check(kind, undefined, attachmentInputs()));
    const { outputs } = await lifecycle.create(kind, inputs);
    state = outputs;
  });

  const diff = (news: Record<string, unknown>, olds = {}, ignore: string[] = []) =>
    lifecycle.diff(kind, "id", { ...state, ...olds }, { ...inputs, ...news }, ignore);

  it("finds nothing in a state that is as declared, whatever the kernel's ids are", () => {
    assert.deepEqual(diff({}, { link: { linkId: 99 } }), { changes: false, replaces: [], paths: {} });
  });

  it("names each change by its path and kind", () => {
    const { paths, replaces } = diff({ xdp: { interface: "eth1", mode: "auto", netns: "blue" } });
    assert.deepEqual(paths, { "xdp.interface": "update", "xdp.netns": "add", "xdp.allowGap": "delete" });
    assert.deepEqual(replaces, []);
  });

  it("takes another hook as an update", () => {
    const { paths, replaces } = diff({ xdp: undefined, tc: { interface: "eth0" } });
    assert.deepEqual(paths, { xdp: "delete", tc: "add" });
    assert.deepEqual(replaces, []);
  });

  it("replaces for another host or port, and for nothing else of the connection", () => {
    assert.deepEqual(diff({ connection: { host: "edge-2", user: "deploy" } }).replaces, ["connection.host"]);
    assert.deepEqual(diff({ connection: { host: "edge-1", user: "deploy", port: 2222 } }).replaces, [
      "connection.port",
    ]);
    const other = diff({ connection: { host: "edge-1", user: "root", hostKey: "k", privateKey: "p" } });
    assert.deepEqual(other.replaces, []);
    assert.equal(other.changes, true);
  });

  it("takes port 22 and no port for the same", () => {
    assert.equal(diff({ connection: { host: "edge-1", user: "deploy", port: 22 } }).changes, false);
  });

  it("replaces when the host is not known yet", () => {
    assert.deepEqual(diff({ connection: { host: UNKNOWN, user: "deploy" } }).replaces, ["connection.host"]);
    assert.deepEqual(diff({ connection: UNKNOWN }).replaces, ["connection"]);
  });

  it("takes an unknown value as a change", () => {
    assert.deepEqual(diff({ xdp: UNKNOWN }).paths, { xdp: "update" });
  });

  it("takes drift as a change", () => {
    assert.deepEqual(diff({}, { drift: ["detached from eth0"] }).paths, { "drift[0]": "delete" });
  });

  it("honours ignoreChanges, with wildcards", () => {
    const news = { xdp: { interface: "eth1", mode: "generic", allowGap: false } };
    assert.deepEqual(Object.keys(diff(news, {}, ["xdp.interface"]).paths), ["xdp.mode"]);
    assert.equal(diff(news, {}, ["xdp"]).changes, false);
    assert.equal(diff(news, {}, ["xdp.*"]).changes, false);
  });

  it("refuses a state that was written by hand and lacks its essentials", () => {
    assert.throws(
      () => lifecycle.diff(kind, "x", { connection: { host: "edge-1" } }, inputs),
      /read the state of Attachment "x": it has no specId and no incarnation/,
    );
  });
});
