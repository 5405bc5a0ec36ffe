/** The program on an interface, met by real frames: tags, forwarding, and connections from their first packet to their end. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { interfaceIndex, LinkHandle } from "../../../provider/bpf";
import type { AppliedPolicy, Direction } from "../../../provider/network-policy/applied";
import { frameOf, type Wire } from "../../../provider/network-policy/frames";
import type { Packet } from "../../../provider/network-policy/packet";
import { compile } from "../../support/compiled-union";
import { DataPlane, type Settings } from "../../support/data-plane";
import { internetChecksum, WireEnd } from "../../support/wire";
import { PolicyNetwork } from "../agent/network-policy/support";
import { closesEverything, ip } from "../bpf/support";

type Flags = NonNullable<Packet["tcpFlags"]>;

const VLAN = { protocol: 0x8100, id: 5 } as const;
const QINQ = { protocol: 0x88a8, id: 6 } as const;
const SECOND = 1_000_000_000n;

/** From the peer, at port 443. */
const https: Packet = {
  ...{ direction: "ingress", source: "192.0.2.9", destination: "198.51.100.1" },
  ...{ protocol: "TCP", sourcePort: 50000, destinationPort: 443 },
};

/** What the host answers to it. */
function answerTo(packet: Packet): Packet {
  const { sourcePort, destinationPort, source, destination } = packet;
  return {
    ...{ ...packet, direction: "egress", source: destination, destination: source },
    ...(sourcePort === undefined ? {} : { sourcePort: destinationPort!, destinationPort: sourcePort }),
  };
}

const tcp = (...tcpFlags: Flags): Packet => ({ ...https, tcpFlags });
const answer = (...tcpFlags: Flags): Packet => ({ ...answerTo(https), tcpFlags });

describe("the network policy program on the wire", function () {
  this.timeout(60_000);
  // its hooks run around those of the suite within
  closesEverything();

  describe("with both directions named, and rules for what comes in", function () {
    let network: PolicyNetwork;
    let near: WireEnd;
    let far: WireEnd;
    let program: DataPlane;
    let links: LinkHandle[];

    beforeEach(async () => {
      network = new PolicyNetwork(2);
      links = [];
      near = await WireEnd.open((work) => network.inside(work), "veth0");
      far = await WireEnd.open((work) => network.outside(work), "veth1");
    });
    afterEach(async () => {
      await near.end();
      await far.end();
      for (const link of links) link.close();
      program[Symbol.dispose]();
      network.remove();
    });

    /** Both directions of an interface by one load; both are named, and only ingress has rules. */
    function judge(ingress: AppliedPolicy["ingress"], settings: Settings = {}, flows = 4096): void {
      program = new DataPlane(settings, { flows });
      const policy: AppliedPolicy = {
        ...{ stack: "acme/prod", name: "web", mode: "enforce", infrastructure: true, established: "recheck" },
        ...{ ingress: ingress!, egress: [] },
      };
      program.install(compile([policy], { number: 1n }));
      attach("veth0", ["ingress", "egress"]);
    }

    function attach(name: string, directions: readonly Direction[]): LinkHandle[] {
      const made = network.inside(() =>
        directions.map((direction) =>
          LinkHandle.create(program.program(`judge_${direction}`), {
            ...{ type: "tcx", ifindex: interfaceIndex(name), direction },
          }),
        ),
      );
      links.push(...made);
      return made;
    }

    async function pass(packets: readonly Packet[], wire?: Wire): Promise<boolean[]> {
      const frames = packets.map((packet) => frameOf(packet, wire));
      return packets[0]!.direction === "ingress" ? far.send(frames, near) : near.send(frames, far);
    }

    /** Whether each passes, one after the other. */
    async function met(...packets: Packet[]): Promise<boolean[]> {
      const passed: boolean[] = [];
      for (const packet of packets) passed.push(...(await pass([packet])));
      return passed;
    }

    const anything = [{ name: "anything", action: "allow" as const }];
    const web = [
      { name: "https", action: "allow" as const, ports: [{ protocol: "TCP" as const, port: 443 }] },
    ];

    it("5, 6: judges frames with a VLAN tag and with two, which the kernel strips of the first, and drops more", async () => {
      judge(web);
      const ipv6 = { ...https, source: "2001:db8::9", destination: "2001:db8::1" };
      for (const packet of [https, ipv6]) {
        for (const vlans of [[], [VLAN], [QINQ], [QINQ, VLAN]]) {
          const closed = { ...packet, destinationPort: 80 };
          assert.deepEqual(await pass([packet, closed], { vlans }), [true, false], JSON.stringify(vlans));
          assert.deepEqual(await pass([answerTo(packet), answerTo(closed)], { vlans }), [true, false]);
        }
        assert.deepEqual(await pass([packet], { vlans: [QINQ, VLAN, VLAN] }), [false]);
        assert.deepEqual(await pass([answerTo(packet)], { vlans: [QINQ, VLAN, VLAN] }), [false]);
      }
    });

    it("4, 38: judges what the host forwards for another, where it comes in and where it leaves", async () => {
      judge(web);
      const beyond: Packet = { ...https, source: "10.98.0.2", destination: "10.98.1.2", tcpFlags: ["SYN"] };
      const toHost = network.inside(() => {
        execFileSync("sh", ["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        ip(
          "neighbour",
          "replace",
          "10.98.1.2",
          "lladdr",
          "02:00:00:00:00:09",
          "dev",
          "veth2",
          "nud",
          "permanent",
        );
        return (JSON.parse(ip("-j", "link", "show", "veth0")) as [{ address: string }])[0].address;
      });
      const beyondHost = await WireEnd.open((work) => network.outside(work), "veth3");
      try {
        const forward = async (change: Partial<Packet>) => {
          const packet = { ...beyond, ...change };
          const [came] = await far.send([routable(frameOf(packet), toHost)], near);
          return { came, sent: frameOf(packet).subarray(34) };
        };
        assert.equal((await forward({ destinationPort: 80 })).came, false);
        const first = await forward({});
        assert.equal(first.came, true);
        assert.deepEqual(
          await beyondHost.receivesUntil(first.sent),
          [],
          "what is no https was not forwarded",
        );

        const [leaves] = attach("veth2", ["egress"]);
        assert.equal((await forward({ sourcePort: 50001 })).came, true);
        while (program.total("default", "egress", "deny") === 0n) await sleep(10);
        leaves!.close();
        const third = await forward({ sourcePort: 50002 });
        assert.deepEqual(await beyondHost.receivesUntil(third.sent), [], "the second was not let out");
      } finally {
        await beyondHost.end();
      }
    });

    /** Seconds by enum timeout of the program, so far apart that no state has another's time. */
    const TIMES = [60, 200, 120, 20, 40, 140, 80, 100, 180, 160];
    const MARGIN = 10;

    it("39: has the times of the docs", () => {
      judge(anything);
      assert.deepEqual(program.timeouts, [60, 86_400, 120, 10, 30, 180, 30, 60, 600, 30].map(inNanoseconds));
    });

    const udp: Packet = { ...https, protocol: "UDP" };
    const ping: Packet = {
      ...{ direction: "ingress", source: https.source, destination: https.destination },
      ...{ protocol: "ICMP", type: 8, code: 0, identifier: 7 },
    };
    const ping6: Packet = {
      ...ping,
      ...{ source: "2001:db8::9", destination: "2001:db8::1", protocol: "ICMPv6", type: 128 },
    };
    const pong = { ...answerTo(ping), type: 0 };
    const pong6 = { ...answerTo(ping6), type: 129 };
    const gre: Packet = {
      direction: "ingress",
      source: https.source,
      destination: https.destination,
      protocol: "GRE",
    };
    const opened = [tcp("SYN"), answer("SYN", "ACK"), tcp("ACK")];
    const fin = tcp("FIN", "ACK");

    const states: { title: string; timeout: number; packets: Packet[]; probe: Packet }[] = [
      { title: "TCP before the first reply", timeout: 0, packets: [tcp("SYN")], probe: answer("SYN", "ACK") },
      { title: "TCP", timeout: 1, packets: opened, probe: answer("ACK") },
      { title: "TCP after a FIN of one side", timeout: 1, packets: [...opened, fin], probe: answer("ACK") },
      {
        title: "TCP after a FIN of both sides",
        timeout: 2,
        packets: [...opened, fin, answer("FIN", "ACK")],
        probe: answer("ACK"),
      },
      { title: "TCP after RST", timeout: 3, packets: [...opened, tcp("RST")], probe: answer("ACK") },
      {
        title: "TCP that was refused",
        timeout: 3,
        packets: [tcp("SYN"), answer("RST", "ACK")],
        probe: answer("ACK"),
      },
      {
        title: "TCP that was refused, and opened again",
        timeout: 1,
        packets: [tcp("SYN"), answer("RST", "ACK"), ...opened],
        probe: answer("ACK"),
      },
      { title: "UDP before the first reply", timeout: 4, packets: [udp], probe: answerTo(udp) },
      { title: "UDP", timeout: 5, packets: [udp, answerTo(udp)], probe: answerTo(udp) },
      { title: "ICMP", timeout: 6, packets: [ping], probe: pong },
      { title: "ICMP after the first reply", timeout: 6, packets: [ping, pong], probe: pong },
      { title: "ICMPv6", timeout: 6, packets: [ping6, pong6], probe: pong6 },
      { title: "another protocol before the first reply", timeout: 7, packets: [gre], probe: answerTo(gre) },
      { title: "another protocol", timeout: 8, packets: [gre, answerTo(gre)], probe: answerTo(gre) },
    ];

    it("39: forgets a connection after the time of its protocol and state, and not before", async function () {
      await upFor(this, Math.max(...TIMES) + MARGIN);
      judge(anything, { timeouts: TIMES.map(inNanoseconds) });
      for (const { title, timeout, packets, probe } of states) {
        for (const [by, passes] of [
          [-MARGIN, true],
          [MARGIN, false],
        ] as const) {
          program.forget();
          assert.deepEqual(
            await met(...packets),
            packets.map(() => true),
            title,
          );
          program.age(TIMES[timeout]! + by);
          assert.deepEqual(await pass([probe]), [passes], `${title}, ${by} s past its time`);
        }
      }
    });

    it("42: lets later fragments follow their first for its time", async function () {
      await upFor(this, Math.max(...TIMES) + MARGIN);
      judge(web, { timeouts: TIMES.map(inNanoseconds) });
      const { direction, source, destination, protocol } = https;
      const later: Packet = {
        ...{ direction, source, destination, protocol },
        fragment: { id: 9, position: "later" },
      };
      const first: Packet = { ...https, fragment: { id: 9, position: "first" } };
      assert.deepEqual(await met(later, first, later), [false, true, true]);
      program.age(TIMES[9]! - MARGIN);
      assert.deepEqual(await pass([later]), [true]);
      program.age(2 * MARGIN);
      assert.deepEqual(await pass([later]), [false]);
    });

    const from = (sourcePort: number, packet = https): Packet => ({ ...packet, sourcePort });
    const answered = (packet: Packet): Packet => ({ ...answerTo(packet), tcpFlags: ["SYN", "ACK"] });
    const ports = (first: number, count: number) =>
      Array.from({ length: count }, (_, index) => first + index);

    it("40: keeps answered connections, used or not, while a spray of others fills the table", async () => {
      judge(web, {}, 512);
      const kept = ports(60_000, 50).map((port) => from(port, tcp("SYN")));
      await pass(kept);
      await pass(kept.map(answered));
      const spray = ports(1, 4000).map((port) => from(port, tcp("SYN")));
      assert.ok((await pass(spray)).every(Boolean), "what is allowed passes, also when the table is full");
      const halfOpen = program.flows("half_open");
      assert.ok(halfOpen > 0 && halfOpen <= 512, `${halfOpen} half-open`);
      assert.deepEqual(
        await pass(kept.map(answered)),
        kept.map(() => true),
      );
      assert.deepEqual(await pass([answered(spray[0]!)]), [false], "the longest unused one is forgotten");
    });

    it("33: is not filled by a spray that it drops", async () => {
      judge(web, {}, 512);
      const kept = from(60_000, tcp("SYN"));
      await pass([kept]);
      const spray = ports(1, 4000).map((port) => ({ ...from(port, tcp("SYN")), destinationPort: 80 }));
      assert.ok(!(await pass(spray)).some(Boolean));
      assert.equal(program.flows("half_open"), 1);
      assert.deepEqual(await pass([answered(kept)]), [true]);
    });

    it("40: forgets the longest unused of answered connections where they fill the table", async () => {
      judge(web, {}, 512);
      const [used, unused] = [from(60_000, tcp("SYN")), from(60_001, tcp("SYN"))];
      await pass([used, unused]);
      await pass([used, unused].map(answered));
      for (let first = 1; first < 2000; first += 50) {
        const some = ports(first, 50).map((port) => from(port, tcp("SYN")));
        assert.ok((await pass(some)).every(Boolean));
        assert.ok((await pass(some.map(answered))).every(Boolean));
        assert.deepEqual(await pass([from(60_000, tcp("ACK"))]), [true]);
      }
      const established = program.flows("established");
      assert.ok(established > 0 && established <= 512, `${established} answered`);
      assert.deepEqual(await pass([used, unused].map(answered)), [true, false]);
      // its own side opens it again, as a segment in the midst of a connection that is not known
      assert.deepEqual(await met(from(60_001, tcp("ACK")), answered(unused)), [true, true]);
    });

    it("30, 31: lets a peer that forgot its connection open it again, and the host only if a rule lets it", async () => {
      judge(web);
      assert.deepEqual(await met(...opened), [true, true, true]);
      const challenged = [
        tcp("SYN"),
        answer("ACK"),
        tcp("RST"),
        tcp("SYN"),
        answer("SYN", "ACK"),
        tcp("ACK"),
      ];
      assert.deepEqual(
        await met(...challenged),
        challenged.map(() => true),
        "RFC 5961, as Linux does",
      );
      const forgotten = [tcp("ACK"), answer("RST"), tcp("SYN"), answer("SYN", "ACK")];
      assert.deepEqual(
        await met(...forgotten),
        forgotten.map(() => true),
        "the host is the one that forgot",
      );
      assert.deepEqual(await pass([answer("SYN")]), [false], "no rule lets the host open it");
      assert.deepEqual(await pass([answer("ACK")]), [true]);
    });
  });
});

/** With a checksum, to the host's own address: what a router takes. */
function routable(frame: Buffer, address: string): Buffer {
  const routed = Buffer.from(frame);
  routed.set(Buffer.from(address.replaceAll(":", ""), "hex"));
  routed.writeUInt16BE(internetChecksum(routed.subarray(14, 34)), 24);
  return routed;
}

function inNanoseconds(seconds: number): bigint {
  return BigInt(seconds) * SECOND;
}

/** The clock of connections counts from the start of the machine: none can be older. */
async function upFor(test: Mocha.Context, seconds: number): Promise<void> {
  test.timeout((seconds + 60) * 1000);
  while (process.hrtime.bigint() < inNanoseconds(seconds)) await sleep(1000);
}
