import assert from "node:assert/strict";
import { interfaceIndex, routeInterface } from "../../../provider/bpf";
import { parseAddress } from "../../../provider/btf";
import { closesEverything, ip, PrivateNetwork } from "./support";

describe("the interface that a route leads to", () => {
  closesEverything();
  let network: PrivateNetwork;

  beforeEach(() => {
    network = new PrivateNetwork();
    network.inside(() => {
      ip("address", "add", "192.0.2.1/24", "dev", "veth0");
      ip("address", "add", "2001:db8::1/64", "dev", "veth0", "nodad");
      ip("address", "add", "198.51.100.1/24", "dev", "veth1");
    });
  });
  afterEach(() => network.remove());

  const route = (source: string, destination: string) =>
    network.inside(() => {
      const [from, to] = [source, destination].map((text) =>
        parseAddress(text, text.includes(":") ? 16 : 4)!,
      );
      const ifindex = routeInterface(from!, to!);
      return ["lo", "veth0", "veth1"].find((name) => interfaceIndex(name) === ifindex);
    });
  const asIpSays = (source: string, destination: string) =>
    network.inside(() => /dev (\S+)/.exec(ip("route", "get", destination, "from", source))![1]);

  it("is the one that `ip route get` names, by destination and by rules on the source", () => {
    network.inside(() => ip("rule", "add", "from", "198.51.100.1", "to", "192.0.2.9", "lookup", "77"));
    network.inside(() => ip("route", "add", "192.0.2.9", "dev", "veth1", "table", "77"));
    const pairs = [
      ["192.0.2.1", "192.0.2.9", "veth0"],
      ["198.51.100.1", "192.0.2.9", "veth1"],
      ["198.51.100.1", "192.0.2.8", "veth0"],
      ["192.0.2.1", "198.51.100.1", "lo"],
      ["2001:db8::1", "2001:db8::9", "veth0"],
    ] as const;
    for (const [source, destination, name] of pairs) {
      assert.equal(route(source, destination), name, `${source} to ${destination}`);
      assert.equal(asIpSays(source, destination), name);
    }
  });

  it("is none where the kernel has no way", () => {
    assert.equal(route("192.0.2.1", "203.0.113.9"), undefined);
    assert.equal(route("2001:db8::1", "2001:db8:1::9"), undefined);
    network.inside(() => ip("route", "add", "prohibit", "203.0.113.9"));
    assert.equal(route("192.0.2.1", "203.0.113.9"), undefined);
  });
});
