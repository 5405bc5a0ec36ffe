import assert from "node:assert/strict";
import fc from "fast-check";
import type { AppliedPolicy } from "../../../provider/network-policy/applied";
import { candidates } from "../../../provider/network-policy/candidates";
import { evaluate } from "../../../provider/network-policy/evaluate";
import type { UnionInput } from "../../../provider/network-policy/union";
import { canonicalJson } from "../../../provider/protocol/spec";
import { Chunks, inputOf } from "../../support/compiled-union";
import { packets, unions } from "./arbitrary";

const named = (policies: AppliedPolicy[]) =>
  policies.flatMap(({ ingress = [], egress = [] }) => [...ingress, ...egress].map(({ name }) => name));

describe("candidates among the rules of a union", function () {
  this.timeout(30_000);

  it("decide as all rules do about packets of their addresses", () => {
    fc.assert(
      fc.property(unions(), fc.array(packets, { minLength: 10, maxLength: 10 }), (policies, list) => {
        const chunks = new Chunks();
        const input = inputOf(policies, chunks);
        for (const packet of list) {
          const { source, destination } = packet;
          const some = candidates(input, [source, destination], chunks.read);
          assert.deepEqual(evaluate(some, [], packet), evaluate(policies, [], packet));
        }
      }),
    );
  });

  const chunks = new Chunks();
  const rules = [
    { name: "own", from: [{ cidr: "192.0.2.0/24", except: ["192.0.2.128/25"] }] },
    { name: "two", from: [{ cidr: "198.51.100.0/24" }, { cidr: "192.0.2.8/29" }] },
    { name: 'not "cidr":"192.0.2.9/32" but', from: [{ cidr: "203.0.113.0/24" }] },
    { name: "elsewhere", from: [{ cidr: "0.0.0.0/1" }, { cidr: "2001:db8::/32" }] },
    { name: "known", from: [{ addressSet: "known" }] },
    { name: "self", from: [{ self: true }] },
    { name: "anyone", from: [{ any: true }] },
    { name: "all", ports: [{ protocol: "TCP", port: 22 }] },
  ];
  const input: UnionInput = {
    policies: [
      {
        ...{ stack: "acme/prod", name: "web", mode: "enforce", infrastructure: true, established: "recheck" },
        ...{ sets: { known: "set" }, ingress: chunks.of(rules.map((rule) => canonicalJson(rule))) },
      },
    ],
    sets: { set: chunks.of(["192.0.2.9/32", "192.0.2.10/32", "2001:db8:7::/48"]) },
    self: ["203.0.113.1"],
  };

  it("are those whose networks hold an address, or whose peers are no networks", () => {
    const some = candidates(input, ["192.0.2.9"], chunks.read);
    assert.deepEqual(named(some), ["own", "two", "known", "self", "anyone", "all"]);
    const [, , known, self] = some[0]!.ingress!;
    assert.deepEqual(known!.peers, [{ cidrs: ["192.0.2.9/32"] }]);
    assert.deepEqual(self!.peers, [{ cidrs: ["203.0.113.1/32"] }]);
    const ipv6 = candidates(input, ["2001:db8:7::1", "192.0.2.200"], chunks.read);
    assert.deepEqual(named(ipv6), ["own", "elsewhere", "known", "self", "anyone", "all"]);
    assert.deepEqual(ipv6[0]!.ingress![2]!.peers, [{ cidrs: ["2001:db8:7::/48"] }]);
  });

  it("are found in every spelling of an IPv6 network", () => {
    const networks = [
      ...[
        "::/0",
        "2000::/3",
        "2001:db8::/32",
        "2001:0DB8::/32",
        "2001:db8:0:7::/64",
        "2001:DB8::7:0:0:0:0/64",
      ],
      ...["2001:db8:0:7:0:0:c000:200/120", "2001:db8:0:7:0:0:192.0.2.0/120", "2001:db8:0:7::c000:201/128"],
    ];
    const others = ["2001:db8:0:6::/64", "2001:db9::/32", "::2001:db8:0:7/128", "2001:db8:0:7::c000:202/128"];
    const set = { ...input, sets: { set: chunks.of([...networks, ...others]) } };
    const known = candidates(set, ["2001:db8:0:7::c000:201"], chunks.read)[0]!.ingress!.find(
      ({ name }) => name === "known",
    );
    assert.deepEqual(known!.peers, [{ cidrs: networks }]);
  });

  it("cannot be told where a set is unknown", () => {
    assert.throws(() => candidates({ ...input, sets: {} }, ["192.0.2.9"], chunks.read), {
      code: "invalid",
    });
  });
});
