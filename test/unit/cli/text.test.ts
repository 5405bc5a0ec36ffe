import assert from "node:assert/strict";
import { eventText } from "../../../provider/cli/policy/events";
import { describeStatus } from "../../../provider/cli/inspect";
import { table } from "../../../provider/cli/ls";
import type { Status } from "../../../provider/protocol/status";

describe("what ls prints", () => {
  const now = Date.parse("2026-02-01T00:00:00.000Z");
  const record = (id: string, secondsAgo: number, programs: string[] = []) => ({
    id,
    incarnation: "1",
    revision: 3,
    appliedAt: new Date(now - secondsAgo * 1000).toISOString(),
    specDigest: "",
    programs,
    maps: [],
    links: ["link"],
  });

  it("is a table with ages in their largest unit", () => {
    const records = [
      record("a/dev/Program/one", 59, ["first", "second"]),
      record("a/dev/Program/two", 60),
      record("a/dev/Program/three", 3600 * 24 - 1),
      record("a/dev/Program/four", 86_400 * 31),
    ];
    assert.equal(
      table(records, now),
      `
ID                   REVISION  AGE    PROGRAMS      MAPS  LINKS
a/dev/Program/one    3         59 s   first,second  -     link
a/dev/Program/two    3         1 min  -             -     link
a/dev/Program/three  3         23 h   -             -     link
a/dev/Program/four   3         31 d   -             -     link`.slice(1),
    );
  });

  it("shows a host's clock that is ahead of ours as no age", () => {
    assert.match(table([record("a/dev/Map/m", -30)], now), / {2}0 s {2}/);
  });

  it("names what is damaged in place of its parts", () => {
    const damaged = { ...record("a/dev/Map/m", 0), damaged: "read Record of a/dev/Map/m: it is not JSON" };
    assert.match(table([damaged], now), /\na\/dev\/Map\/m {2}- +- +damaged: read Record .* not JSON$/);
  });
});

describe("what inspect prints", () => {
  const status: Status = {
    id: "a/dev/Attachment/eth0",
    incarnation: "77",
    revision: 2,
    specDigest: "",
    programs: {},
    maps: {},
    entries: {},
    links: {
      link: {
        linkId: 0,
        programId: 12,
        programTag: "",
        hook: "tc",
        facts: { ifindex: 2, direction: "ingress" },
      },
    },
    drift: [],
    notes: [],
  };

  it("leaves out what the resource has none of", () => {
    assert.equal(
      describeStatus("edge", status, []),
      `
a/dev/Attachment/eth0 on edge
  revision 2, incarnation 77
  links
    link  by netlink  tc  program 12  ifindex 2, direction ingress
  no drift`.slice(1),
    );
  });

  it("ends in the drift, a line each", () => {
    const text = describeStatus("edge", { ...status, links: {} }, ["detached from eth0", "and 3 more"]);
    assert.match(text, /\n {2}drift\n {4}detached from eth0\n {4}and 3 more$/);
  });
});

describe("what policy events prints", () => {
  const rule = (policy: string, name: string) => ({
    ...{ stack: "demo/prod", policy, direction: "ingress" as const, name },
  });
  const event = {
    ...{ time: "2026-02-01T00:00:00.000Z", interface: "eth0", direction: "ingress" as const, bytes: 74 },
    ...{ verdict: "deny" as const, reason: "default", generation: "7" },
    packet: {
      protocol: 6,
      source: "192.0.2.9",
      sourcePort: 40000,
      destination: "203.0.113.1",
      destinationPort: 23,
    },
  };
  const head = "2026-02-01T00:00:00.000Z  eth0 ingress  ";

  it("names the rule that decided, and what no rule decided", () => {
    const tcp = `${head}TCP 192.0.2.9:40000 > 203.0.113.1:23, 74 bytes: `;
    assert.equal(eventText(event), `${tcp}deny (default)`);
    const decided = { ...event, reason: "rule", rule: rule("web", "no telnet") };
    assert.equal(eventText(decided), `${tcp}deny by demo/prod web ingress "no telnet"`);
    const later = { ...decided, verdict: "allow" as const, reason: "connection" };
    assert.equal(eventText(later), `${tcp}allow by demo/prod web ingress "no telnet" (connection)`);
    assert.equal(eventText({ ...event, reason: "rule" }), `${tcp}deny (a rule of generation 7)`);
  });

  it("marks what the audit policies would change", () => {
    const passed = { ...event, verdict: "allow" as const, reason: "unnamed" };
    assert.match(
      eventText({ ...passed, audit: { verdict: "deny" } }),
      /: allow \(unnamed\); audit: deny \(default\)$/,
    );
    const audit = { verdict: "deny" as const, rule: rule("trial", "no telnet") };
    assert.match(eventText({ ...passed, audit }), /; audit: deny by demo\/prod trial ingress "no telnet"$/);
  });

  it("tells of what is no TCP", () => {
    const echo = { protocol: 58, source: "2001:db8::9", destination: "2001:db8::1", type: 128, code: 0 };
    assert.match(eventText({ ...event, packet: echo }), /ICMPv6 128\/0 2001:db8::9 > 2001:db8::1, 74 bytes/);
    const { packet: _none, ...other } = event;
    const named = (frame: "arp" | "other" | "malformed") =>
      eventText({ ...other, netns: "/run/netns/blue", frame });
    assert.match(named("arp"), / {2}eth0 in \/run\/netns\/blue ingress {2}ARP, 74 bytes/);
    assert.match(named("other"), /not IP, 74 bytes/);
    assert.match(named("malformed"), /malformed, 74 bytes/);
  });
});
