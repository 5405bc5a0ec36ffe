import assert from "node:assert/strict";
import { type Properties, UNKNOWN } from "../../../provider/lifecycle";
import { checkedInputs, fleetInputs, Hosts } from "./fleet-hosts";
import { attachmentInputs } from "./host";

const five = ["edge-1", "edge-2", "edge-3", "edge-4", "edge-5"];

describe("check of a fleet", () => {
  const lifecycle = new Hosts(five).lifecycle();
  const checked = (news: Properties, olds?: Properties) => checkedInputs(lifecycle, news, olds);

  async function failures(news: Properties): Promise<string[]> {
    const { failures } = await lifecycle.check("Attachment", undefined, news);
    return failures.map(({ property, reason }) => `${property}: ${reason}`);
  }

  it("keeps the selected hosts only, by one value of a label or one of several", async () => {
    const labels = [
      { role: "edge", region: "eu" },
      { role: "edge", region: "us" },
      { role: "core", region: "eu" },
      {},
    ];
    const list = labels.map((of, index) => ({ connection: { host: five[index] }, labels: of }));
    const select = { role: "edge", region: ["eu", "asia"] };
    const inputs = await checked(fleetInputs([], { hosts: { hosts: list, select } }));
    assert.deepEqual(inputs["hosts"], { hosts: [list[0]] });
    assert.deepEqual(
      await checked(fleetInputs([], { hosts: inputs["hosts"] }), inputs),
      inputs,
      "twice is once",
    );
  });

  it("takes either hosts or a connection", async () => {
    const both = { ...attachmentInputs(), hosts: fleetInputs(five)["hosts"] };
    assert.deepEqual(await failures(both), ["hosts: give either hosts or connection, not both"]);
    const { connection: _connection, ...neither } = attachmentInputs();
    assert.deepEqual(await failures(neither), ["connection: is missing"]);
  });

  it("tells every problem of hosts, rollout and the rest together", async () => {
    const rollout = {
      waveSize: "1000%",
      health: [{ command: "true", counter: { map: "m", key: 0 } }, { value: { map: "m", key: 0 } }],
    };
    const news = { ...fleetInputs(["edge-1"], { rollout }), xdp: { interfce: "eth0" } };
    assert.deepEqual(
      (await failures(news)).map((text) => text.split(":")[0]),
      [
        "hosts.rollout.waveSize",
        "hosts.rollout.health[0]",
        "hosts.rollout.health[1]",
        "xdp.interface",
        "xdp.interfce",
      ],
    );
  });

  it("refuses one host twice, whatever the login, and a selection of nobody", async () => {
    const twice = [
      { connection: { host: "a", user: "root" } },
      { connection: { host: "a", port: 22 } },
      { connection: { host: "a", port: 23 } },
    ];
    assert.deepEqual(await failures(fleetInputs([], { hosts: { hosts: twice } })), [
      "hosts.hosts[1].connection.host: is a, as hosts.hosts[0] is",
    ]);
    const none = { hosts: { hosts: twice.slice(1), select: { role: "edge" } } };
    assert.deepEqual(await failures(fleetInputs([], none)), ["hosts.select: selects none of the hosts"]);
  });

  it("checks what is known when hosts are not known yet, at any depth", async () => {
    for (const unknown of [UNKNOWN, { hosts: UNKNOWN }, { hosts: [{ connection: { host: UNKNOWN } }] }]) {
      const inputs = await checked(fleetInputs([], { hosts: unknown }));
      assert.deepEqual(inputs["hosts"], unknown);
    }
    const wrong = fleetInputs([], { hosts: { hosts: UNKNOWN, rollout: { soakSeconds: -1 } } });
    assert.match((await failures(wrong))[0]!, /^hosts\.rollout\.soakSeconds: /);
  });
});
