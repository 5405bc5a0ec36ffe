import assert from "node:assert/strict";
import fc from "fast-check";
import { type Lifecycle, PartialError, type Properties } from "../../../provider/lifecycle";
import type { Targets } from "../../../provider/lifecycle/fleet/targets";
import { amountOf, isTooMany, wavesOf } from "../../../provider/lifecycle/fleet/waves";
import { fleetInputs, Hosts } from "./fleet-hosts";
import { unreachable } from "./host";

const kind = "Attachment";
const six = ["e1", "e2", "e3", "e4", "e5", "e6"];

describe("waves", () => {
  const sizes = (count: number, total: number, rollout: Parameters<typeof wavesOf>[2]) =>
    wavesOf(
      Array.from({ length: count }, (_, index) => index),
      total,
      rollout,
    ).map(({ hosts }) => hosts.length);

  it("are one without a rollout, and none without hosts", () => {
    assert.deepEqual(sizes(200, 200, undefined), [200]);
    assert.deepEqual(sizes(0, 200, { canary: 1, waveSize: 10 }), []);
  });

  it("begin with the canary; shares are of the whole fleet, rounded up", () => {
    assert.deepEqual(sizes(20, 20, { canary: 1, waveSize: "25%" }), [1, 5, 5, 5, 4]);
    assert.deepEqual(sizes(3, 20, { canary: 1, waveSize: "25%" }), [1, 2], "a retry of three");
    assert.deepEqual(sizes(20, 20, { waveSize: "0%" }), Array<number>(20).fill(1));
    assert.equal(amountOf("1%", 20), 1);
  });

  it("hold every host once, in order, whatever the rollout", () => {
    const amount = fc.oneof(
      fc.nat(30),
      fc.nat(100).map((share) => `${share}%`),
    );
    fc.assert(
      fc.property(
        fc.nat(60),
        fc.option(amount, { nil: undefined }),
        fc.option(amount, { nil: undefined }),
        (count, canary, waveSize) => {
          const hosts = Array.from({ length: count }, (_, index) => index);
          const waves = wavesOf(hosts, 60, { canary, waveSize });
          assert.deepEqual(
            waves.flatMap((wave) => wave.hosts),
            hosts,
          );
          assert.ok(waves.every((wave) => wave.hosts.length > 0));
        },
      ),
    );
  });

  it("put up with as many failures as they may, and a canary with none", () => {
    assert.equal(isTooMany({ inWave: 1, inAll: 1 }, true, 20, { maxUnavailable: 5 }), true);
    assert.equal(isTooMany({ inWave: 1, inAll: 1 }, false, 20, {}), true);
    assert.equal(isTooMany({ inWave: 1, inAll: 2 }, false, 20, { maxUnavailable: "10%" }), false);
    assert.equal(isTooMany({ inWave: 1, inAll: 3 }, false, 20, { maxUnavailable: "10%" }), true);
  });
});

describe("a rollout", () => {
  let hosts: Hosts;
  let lifecycle: Lifecycle;
  let id: string;
  let inputs: Properties;
  let outputs: Properties;

  beforeEach(async () => {
    hosts = new Hosts(six);
    lifecycle = hosts.lifecycle();
    ({ inputs } = await lifecycle.check(kind, undefined, fleetInputs(six)));
    ({ id, outputs } = await lifecycle.create(kind, inputs));
    hosts.applied.length = 0;
    hosts.reports.length = 0;
  });

  const on = (device: string, ...names: string[]) => Object.fromEntries(names.map((name) => [name, device]));
  const news = async (rollout: Properties): Promise<Properties> => {
    const given = fleetInputs(six, { interface: "eth1", rollout });
    const { inputs: checked, failures } = await lifecycle.check(kind, inputs, given);
    assert.deepEqual(failures, []);
    return checked;
  };
  const update = async (rollout: Properties) => lifecycle.update(kind, id, outputs, await news(rollout));
  async function failedUpdate(rollout: Properties): Promise<PartialError> {
    const error: unknown = await update(rollout).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof PartialError, `${error}`);
    return error;
  }
  const digests = (properties: Properties) => {
    const old = (outputs["targets"] as Targets)["e1"]!.digest;
    const targets = Object.entries(properties["targets"] as Targets);
    return Object.fromEntries(
      targets.map(([name, { digest }]) => [name, digest === old ? "old" : digest === "" ? "?" : "new"]),
    );
  };

  it("changes a wave when the one before is done, and says which", async () => {
    await update({ canary: 1, waveSize: 3 });
    assert.deepEqual(hosts.reports, [
      "web: wave 1 of 3: 1 of 6 hosts: e1",
      "web: wave 2 of 3: 3 of 6 hosts: e2, e3, e4",
      "web: wave 3 of 3: 2 of 6 hosts: e5, e6",
    ]);
    assert.deepEqual(hosts.applied, six);
  });

  it("goes on after failures unless it is told otherwise", async () => {
    hosts.host("e1").failure = { verb: "dial", error: unreachable() };
    await failedUpdate({ canary: 1, waveSize: 2 });
    assert.deepEqual(hosts.holding(), { ...on("eth0", "e1"), ...on("eth1", "e2", "e3", "e4", "e5", "e6") });
  });

  it("stops: later waves keep what they have, and so do hosts that succeeded", async () => {
    hosts.host("e2").failure = { verb: "dial", error: unreachable() };
    const { message, properties } = await failedUpdate({ waveSize: 3, onFailure: "stop" });
    assert.match(message, /1 of 6 hosts failed; wave 1 of 2 failed; 3 hosts keep what they have: e4, e5, e6/);
    assert.deepEqual(hosts.holding(), { ...on("eth1", "e1", "e3"), ...on("eth0", "e2", "e4", "e5", "e6") });
    assert.deepEqual(digests(properties), {
      e1: "new",
      e2: "old",
      e3: "new",
      e4: "old",
      e5: "old",
      e6: "old",
    });
    assert.equal((properties["targets"] as Targets)["e2"]!.reachable, false);
  });

  it("puts up with as many failures as it may", async () => {
    hosts.host("e2").failure = { verb: "dial", error: unreachable() };
    const { message } = await failedUpdate({ waveSize: 3, maxUnavailable: 1, onFailure: "stop" });
    assert.match(message, /^apply web: 1 of 6 hosts failed\n/);
    assert.deepEqual(Object.keys(hosts.holding()).length, 6);
    assert.deepEqual(hosts.applied.sort(), ["e1", "e3", "e4", "e5", "e6"]);
  });

  it("rolls the failed wave back, and leaves the waves before it", async () => {
    hosts.host("e4").exitCode = 7;
    const { message, properties } = await failedUpdate({
      waveSize: 2,
      health: [{ command: "curl localhost" }],
      onFailure: "rollBack",
    });
    assert.match(message, /wave 2 of 3 was rolled back; 2 hosts keep what they have: e5, e6/);
    assert.match(message, /e4: is not healthy: `curl localhost` ended with status 7: no answer on port 80/);
    assert.deepEqual(hosts.holding(), { ...on("eth1", "e1", "e2"), ...on("eth0", "e3", "e4", "e5", "e6") });
    assert.deepEqual(digests(properties), {
      e1: "new",
      e2: "new",
      e3: "old",
      e4: "old",
      e5: "old",
      e6: "old",
    });
    assert.deepEqual(properties["drift"], [
      "e3: rolled back, because others of its wave failed",
      "e4: rolled back, because it failed",
    ]);
    hosts.host("e4").exitCode = 0;
    hosts.applied.length = 0;
    const after = await lifecycle.update(kind, id, properties, await news({}));
    assert.deepEqual(hosts.applied, ["e3", "e4", "e5", "e6"]);
    assert.deepEqual(after["drift"], []);
  });

  it("rolls a creation back to nothing", async () => {
    await lifecycle.delete(kind, id, outputs);
    hosts.host("e1").exitCode = 1;
    const rollout = { canary: 1, health: [{ command: "false" }], onFailure: "rollBack" };
    await assert.rejects(
      lifecycle.create(kind, await news(rollout)),
      (error: Error) => !(error instanceof PartialError) && /the canary was rolled back/.test(error.message),
    );
    assert.deepEqual(hosts.holding(), {});
  });

  it("says of a host that could not be rolled back that nobody knows what it holds", async () => {
    hosts.host("e1").exitCode = 1;
    hosts.host("e1").failure = { verb: "rollBack", error: unreachable() };
    const { properties } = await failedUpdate({
      canary: 1,
      health: [{ command: "false" }],
      onFailure: "rollBack",
    });
    assert.deepEqual(digests(properties)["e1"], "?");
    assert.match((properties["drift"] as string[])[0]!, /^e1: could not be rolled back: /);
  });

  it("keeps an unhealthy host's version in the state when nothing rolls it back", async () => {
    hosts.host("e3").exitCode = 1;
    const { properties } = await failedUpdate({ health: [{ command: "false" }] });
    assert.deepEqual(digests(properties)["e3"], "new");
    assert.equal(lifecycle.diff(kind, id, properties, await news({})).changes, true);
  });

  describe("judges by a counter", () => {
    const health = (check: Properties) => ({ health: [check] });
    const map = { map: "counters", key: 1 };
    const counting = async (check: Properties, before: number | undefined, after: number | undefined) => {
      const host = hosts.host("e1");
      const set = (value: number | undefined) =>
        value === undefined ? host.counters.delete(1) : host.counters.set(1, value);
      set(before);
      for (const name of six.slice(1)) if (after !== undefined) hosts.host(name).counters.set(1, after);
      host.onApply = () => set(after);
      return update(health(check)).then(
        () => "healthy",
        (error: Error) => /e1: is not healthy: (.*)/.exec(error.message)?.[1] ?? error.message,
      );
    };

    it("by how much it grew since before the change", async () => {
      assert.equal(await counting({ counter: map, below: 100 }, 1000, 1099), "healthy");
    });

    it("and fails when it grew too much", async () => {
      assert.equal(
        await counting({ counter: map, below: 100 }, 1000, 1100),
        "counters[1] grew by 100, not below 100",
      );
    });

    it("that began anew with a new map", async () => {
      assert.equal(await counting({ counter: map, below: 100 }, 1000, 99), "healthy");
    });

    it("and by a value as it stands, which must be there", async () => {
      assert.equal(await counting({ value: map, above: 5 }, undefined, 6), "healthy");
      assert.equal(await counting({ value: map, above: 6 }, undefined, 6), "counters[1] is 6, not above 6");
      assert.equal(
        await counting({ value: map, above: 6 }, undefined, undefined),
        "counters[1] is not there",
      );
    });
  });

  it("waits for the soak, and stops where it is when it is cancelled", async () => {
    const abort = new AbortController();
    const reports: string[] = [];
    const call = {
      signal: abort.signal,
      report: (message: string) => {
        reports.push(message);
        if (message.includes("soak")) abort.abort();
      },
    };
    const changed = await news({ waveSize: 2, soakSeconds: 3600 });
    const error = await lifecycle.update(kind, id, outputs, changed, call).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof PartialError);
    assert.match(error.message, /^apply web: the operation was cancelled; 4 hosts keep what they have/);
    assert.deepEqual(hosts.holding(), { ...on("eth1", "e1", "e2"), ...on("eth0", "e3", "e4", "e5", "e6") });
    assert.deepEqual(digests(error.properties)["e3"], "old");
  });
});
