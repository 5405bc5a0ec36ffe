/** What only the host can know to be wrong: told all at once, by plan where it can be, and the rules before judge on. */
import assert from "node:assert/strict";
import { EbpfError } from "../../../../provider/errors";
import type { IngressRule } from "../../../../provider/network-policy";
import { closesEverything } from "../../bpf/support";
import { type Delivery, PolicyHost, setSpec, tcp } from "./support";

describe("wrong network policies", function () {
  this.timeout(60_000);
  closesEverything();
  let at: PolicyHost;

  const https = { name: "https", ports: tcp(443) };

  beforeEach(async () => {
    at = new PolicyHost();
    await at.apply(setSpec("offices", ["192.0.2.0/24"]));
    await at.apply(at.policy("web", { ingress: [https] }));
  });
  afterEach(() => at.end());

  async function planned(delivery: Delivery): Promise<EbpfError[]> {
    const { problems } = await at.plan(delivery);
    return problems.map((one) => EbpfError.fromWire(one));
  }

  /** Everything that an apply is refused for; and that nothing came of it. */
  async function refused(delivery: Delivery): Promise<string[]> {
    const programs = at.programs("ingress");
    const pins = at.host.pins();
    const error = await at.apply(delivery).then(
      () => assert.fail("it was applied"),
      (thrown: unknown) => EbpfError.from(thrown),
    );
    assert.ok(at.network.enters(443) && !at.network.enters(80), "the rules before judge on");
    assert.deepEqual([at.programs("ingress"), at.host.pins(), at.host.intents()], [programs, pins, []]);
    for (const { id } of await at.agent.call("list", {})) assert.deepEqual(await at.agent.drift(id), []);
    return [`${error.code}: ${error.message}`, ...(error.context.problems ?? []).map(({ reason }) => reason)];
  }

  const expectAll = (texts: string[], ...patterns: RegExp[]) => {
    assert.equal(texts.length, patterns.length, texts.join("\n"));
    for (const pattern of patterns)
      assert.ok(
        texts.some((text) => pattern.test(text)),
        `${pattern} in ${texts}`,
      );
  };

  it("of an unknown set, an interface that is not there, and a contradiction: all is told at once", async () => {
    const wrong = at.policy("other", {
      ...{ interfaces: ["veth0", "eth8", "eth9"], established: "keep" },
      sets: { unknown: "demo/test/AddressSet/unknown" },
      ingress: [https, { name: "unknown", from: [{ addressSet: "unknown" }] }],
    });
    const onHost = [
      /judge eth9 .*no such interface/,
      /judge eth8 .*no such interface/,
      /contradicts "keep" of demo/,
    ];
    expectAll(await refused(wrong), /AddressSet\/unknown is not on this host/, ...onHost);
    // the set may come with the apply before this one
    expectAll(
      (await planned(wrong)).map(({ message }) => message),
      ...onHost,
    );
  });

  it("of more cells than fit: the rules that multiply are named", async () => {
    const large = at.policy("web", { ingress: [https, ...multiplying(60, 300, 5000)] });
    const cells =
      /its tables take \d+ cells of 64 bytes, and \d+ are allowed; most of them by "rule \d+" of demo\/test web/;
    expectAll(await refused(large), cells);
    expectAll(
      (await planned(large)).map(({ message }) => message),
      cells,
    );
  });

  it("of rules that are damaged on their way: they are not read as other rules", async () => {
    const { spec } = at.policy("web", { ingress: [{ name: "all" }] });
    expectAll(await refused({ spec, blobs: [] }), /not-found|invalid/);
  });
});

/** Each of other networks and ports out of the same few thousand: no two rows of their table are alike. */
function multiplying(rules: number, each: number, of: number): IngressRule[] {
  let state = 1;
  const next = () => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return (state >> 16) % of;
  };
  const some = <T>(make: (number: number) => T) => Array.from({ length: each }, () => make(next()));
  return Array.from({ length: rules }, (_, index) => ({
    name: `rule ${index}`,
    from: some((number) => ({ cidr: `172.${16 + (number >> 8)}.${number & 255}.0/24` })),
    ports: some((number) => ({ protocol: "UDP" as const, port: 1 + number })),
  }));
}
