import assert from "node:assert/strict";
import { PartialError, type Properties } from "../../../provider/lifecycle";
import { EbpfError } from "../../../provider/errors";
import { fleetInputs, Hosts } from "./fleet-hosts";
import { attachmentInputs, Host, lost, unreachable } from "./host";

const specId = "shop/prod/Attachment/web";
/** Less than a user may give: nobody waits here. */
const confirm = { withinSeconds: 0.2 };

describe("a change that must be confirmed", () => {
  let host: Host;
  beforeEach(() => (host = new Host()));

  const inputs = (device: string) => ({
    ...attachmentInputs({ xdp: { interface: device } }),
    drift: [],
    confirm,
  });
  const create = async () => {
    const { id, outputs } = await host.lifecycle().create("Attachment", inputs("eth0"));
    host.calls.length = 0;
    host.newDials.length = 0;
    return { id, outputs };
  };
  const update = ({ id, outputs }: { id: string; outputs: Properties }) =>
    host.lifecycle().update("Attachment", id, outputs, inputs("eth1"));
  const failure = async (work: Promise<unknown>): Promise<Error> => {
    const error: unknown = await work.then(
      () => assert.fail("it succeeded"),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof Error);
    return error;
  };
  const held = () => host.records.get(specId)?.spec.links[0]?.hook as { interface: string } | undefined;

  it("is confirmed over a connection of its own, and then stays", async () => {
    const state = await create();
    const outputs = await update(state);
    assert.deepEqual(host.verbs(), ["apply", "confirm"]);
    assert.equal(host.newDials.length, 1);
    await new Promise((done) => setTimeout(done, 400));
    assert.equal(held()?.interface, "eth1");
    assert.deepEqual(outputs["drift"], []);
    assert.deepEqual(outputs["confirm"], confirm);
  });

  it("goes back when no new connection stands, and fails with what the host says then", async () => {
    const state = await create();
    host.newDialFailure = unreachable();
    const over = setTimeout(() => (host.newDialFailure = undefined), 100);
    const error = await failure(update(state));
    clearTimeout(over);
    assert.ok(EbpfError.is(error, "unconfirmed"), error.message);
    assert.match(
      error.message,
      /^confirm: .*edge-1: not confirmed: dial edge-1:22: connection refused; the host went back to what it had before; see that/,
    );
    assert.equal(held()?.interface, "eth0");
    assert.match(
      host.reports.join("\n"),
      /warning: web: on deploy@edge-1: not confirmed \(.*\): goes back by/,
    );
  });

  it("goes away when there was nothing before it", async () => {
    host.newDialFailure = unreachable();
    setTimeout(() => (host.newDialFailure = undefined), 100);
    const error = await failure(host.lifecycle().create("Attachment", inputs("eth0")));
    assert.ok(EbpfError.is(error, "unconfirmed"), error.message);
    assert.match(error.message, /it was taken away again/);
    assert.equal(held(), undefined);
  });

  it("is a partial failure when the host cannot be asked afterwards", async () => {
    const state = await create();
    host.newDialFailure = unreachable();
    const error = await failure(update(state));
    assert.ok(error instanceof PartialError, error.message);
    assert.match(error.message, /it was to go back by .*; .*edge-1 cannot be asked: dial edge-1:22/);
    assert.match((error.properties["drift"] as string[]).join(), /not confirmed: dial edge-1:22/);
  });

  it("is told as it stands when the answer of the apply was lost", async () => {
    const state = await create();
    host.failure = { verb: "apply", error: lost(), after: true };
    const error = await failure(update(state));
    assert.ok(EbpfError.is(error, "unconfirmed"), error.message);
    assert.match(error.message, /connection closed; the host went back/);
  });

  it("stands when it was confirmed but the answer was lost", async () => {
    const state = await create();
    host.failure = { verb: "confirm", error: lost(), after: true };
    const outputs = await update(state);
    assert.equal((outputs["xdp"] as { interface: string }).interface, "eth1");
    assert.equal(held()?.interface, "eth1");
  });

  it("is not waited for when the user cancels, which is told", async () => {
    const state = await create();
    const abort = new AbortController();
    host.onApply = () => abort.abort();
    const error = await failure(
      host.lifecycle().update("Attachment", state.id, state.outputs, inputs("eth1"), {
        report: () => undefined,
        signal: abort.signal,
      }),
    );
    assert.ok(error instanceof PartialError, error.message);
  });

  it("is a change of nothing on the host when only the time is another", async () => {
    const { id, outputs } = await create();
    const news = { ...inputs("eth0"), confirm: { withinSeconds: 9 } };
    assert.deepEqual(host.lifecycle().diff("Attachment", id, outputs, news).paths, {
      "confirm.withinSeconds": "update",
    });
    await host.lifecycle().update("Attachment", id, outputs, news);
    assert.deepEqual(host.calls, []);
  });

  it("fails on the host of a fleet that does not confirm it, and on no other", async () => {
    const hosts = new Hosts(["a", "b"]);
    const news = { ...fleetInputs(["a", "b"]), drift: [], confirm };
    const { id, outputs } = await hosts.lifecycle().create("Attachment", news);
    hosts.host("b").newDialFailure = unreachable();
    setTimeout(() => (hosts.host("b").newDialFailure = undefined), 100);
    const later = { ...fleetInputs(["a", "b"], { interface: "eth1" }), drift: [], confirm };
    const error = await failure(hosts.lifecycle().update("Attachment", id, outputs, later));
    assert.ok(error instanceof PartialError);
    assert.match(error.message, /1 of 2 hosts failed\n.*deploy@b: not confirmed/);
    assert.deepEqual(hosts.holding(), { a: "eth1", b: "eth0" });
    const { a, b } = error.properties["targets"] as Record<string, { digest: string; reachable: boolean }>;
    assert.notEqual(a!.digest, b!.digest);
    assert.equal(b!.reachable, true);
  });
});
