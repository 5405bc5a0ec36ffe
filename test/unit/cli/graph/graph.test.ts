import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import fc from "fast-check";
import { graphOf, svgOf } from "../../../../provider/cli/graph";
import {
  CHARACTER,
  type Layout,
  layoutOf,
  LINE,
  type Rectangle,
} from "../../../../provider/cli/graph/layout";
import type { Graph } from "../../../../provider/cli/graph/model";
import { EbpfError } from "../../../../provider/errors";

type Properties = Record<string, unknown>;
interface Resource {
  urn: string;
  id: string;
  type: string;
  outputs: Properties;
}

const recorded = JSON.parse(
  readFileSync(resolve(__dirname, "../../../fixtures/graph/firewall.state.json"), "utf8"),
) as { deployment: { resources: Resource[] } };

/** A resource of stack `p/s` on a host. */
function resource(kind: string, name: string, outputs: Properties = {}, host = "edge-1"): Resource {
  const specId = `p/s/${kind}/${name}`;
  return {
    urn: `urn:pulumi:s::p::ebpf:index:${kind}::${name}`,
    id: `${host}/${specId}`,
    type: `ebpf:index:${kind}`,
    outputs: { specId, drift: [], ...outputs },
  };
}

const stateOf = (...resources: unknown[]) => ({ version: 3, deployment: { resources } });
const edgesOf = ({ edges }: Graph) => edges.map(({ from, what, to }) => `${from} ${what} ${to}`);

const overlap = (a: Rectangle, b: Rectangle): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
const within = (inner: Rectangle, outer: Rectangle): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;

/** No box on another, each in its frame, every line in its box, every frame in the picture. */
function assertReadable(layout: Layout): void {
  const whole = { x: 0, y: 0, width: layout.width, height: layout.height };
  for (const [index, frame] of layout.frames.entries()) {
    assert.ok(within(frame, whole));
    for (const other of layout.frames.slice(index + 1)) assert.ok(!overlap(frame, other));
    for (const { x, y, text } of frame.hosts) {
      const line = { x, y: y - LINE, width: text.length * CHARACTER, height: LINE };
      assert.ok(within(line, frame), text);
      for (const box of frame.boxes) assert.ok(!overlap(line, box), text);
    }
    for (const [place, box] of frame.boxes.entries()) {
      assert.ok(within(box, frame), box.node.id);
      for (const other of frame.boxes.slice(place + 1)) {
        assert.ok(!overlap(box, other), `${box.node.id} and ${other.node.id}`);
      }
      assert.ok(box.lines.length * LINE < box.height, box.node.id);
      for (const { text } of box.lines) assert.ok(text.length * CHARACTER < box.width, text);
    }
  }
}

describe("graph: what a state tells", () => {
  const graph = graphOf(recorded);

  it("has the hosts, what is on each, and what drifted", () => {
    assert.equal(graph.stack, "firewall/prod");
    assert.deepEqual(
      graph.groups.map(({ hosts }) => hosts),
      [
        [{ name: "edge-1.example.net", reachable: true, drifted: true }],
        [{ name: "edge-2.example.net", reachable: true, drifted: false }],
      ],
    );
    const [edge1] = graph.groups;
    const drifted = edge1!.nodes.filter(({ drift }) => drift.length > 0);
    assert.deepEqual(
      drifted.map(({ kind, name, drift }) => [kind, name, drift]),
      [["Attachment", "filter-edge-1", ["detached from eth0"]]],
    );
    const program = edge1!.nodes.find(({ kind }) => kind === "Program");
    assert.deepEqual(program?.facts, ["filter.bpf.c", "xdp_filter: xdp, 105 instructions"]);
  });

  it("is the same where the state has what check adds as one text", () => {
    const packed = structuredClone(recorded);
    for (const { outputs = {} } of packed.deployment.resources) {
      for (const [name, value] of Object.entries(outputs))
        if (["object", "map"].includes(name)) outputs[name] = JSON.stringify(value);
    }
    assert.notDeepEqual(packed, recorded);
    assert.deepEqual(graphOf(packed), graph);
  });

  it("has rows on the map that they fill, and maps on the program that they serve", () => {
    const edges = edgesOf(graph);
    const at = (kind: string, name: string) => `firewall/prod/${kind}/${name}`;
    for (const edge of [
      `${at("MapEntries", "rules-edge-1")} fills ${at("Program", "filter-edge-1")}#blocked`,
      `${at("Program", "filter-edge-1")}#blocked serves ${at("Program", "filter-edge-1")}`,
      `${at("Program", "filter-edge-1")} runs on ${at("Attachment", "filter-edge-1")}`,
    ]) {
      assert.ok(edges.includes(edge), edge);
    }
    assert.equal(edges.length, 3 + 9 + 3);
  });

  it("has address sets on the policies that name them, also those of another stack", () => {
    const sets = ["p/s/AddressSet/offices", "p/other/AddressSet/feed"];
    const content = { ingress: { manifest: "0", count: 2 }, sets };
    const policies = graphOf(
      stateOf(
        resource("AddressSet", "offices", { content: { manifest: "0", count: 1 } }),
        resource("NetworkPolicy", "web", { interfaces: ["eth0", "wlan*"], mode: "audit", content }),
      ),
    );
    assert.deepEqual(edgesOf(policies), sets.map((set) => `${set} serves p/s/NetworkPolicy/web`).sort());
    assert.deepEqual(
      policies.groups[0]!.nodes.map(({ owner, facts }) => [owner, facts]),
      [
        ["outside", ["of p/other"]],
        ["own", ["1 network"]],
        ["own", ["eth0, wlan*", "ingress: 2 rules", "audit"]],
      ],
    );
    assertReadable(layoutOf(policies));
  });

  it("has shared maps once, and order among attachments", () => {
    const map = { spec: "p/s/Map/flows", map: "map" };
    const object = { fileName: "a.bpf.o", maps: { flows: {}, own: {} }, entrypoints: {} };
    const program = { spec: "p/s/Program/a", entrypoint: "run" };
    const found = graphOf(
      stateOf(
        resource("Map", "flows", { shape: { type: "hash", maxEntries: 9 } }),
        resource("Program", "a", { object, maps: { flows: map } }),
        resource("Attachment", "one", { program, tcx: { interface: "eth0", direction: "ingress" } }),
        resource("Attachment", "two", {
          program,
          tcx: { interface: "eth0", order: { before: { spec: "p/s/Attachment/one" } } },
        }),
      ),
    );
    assert.deepEqual(edgesOf(found), [
      "p/s/Attachment/two before p/s/Attachment/one",
      "p/s/Map/flows serves p/s/Program/a",
      "p/s/Program/a runs on p/s/Attachment/one",
      "p/s/Program/a runs on p/s/Attachment/two",
      "p/s/Program/a#own serves p/s/Program/a",
    ]);
  });

  it("shows what other stacks own as such", () => {
    const program = { spec: "net/base/Program/filter", entrypoint: "run" };
    const map = { spec: "net/base/Program/filter", map: "rules" };
    const { groups } = graphOf(
      stateOf(
        resource("Attachment", "a", { program, xdp: { interface: "eth0" } }),
        resource("MapEntries", "m", { map }),
      ),
    );
    const outside = groups[0]!.nodes.filter(({ owner }) => owner === "outside");
    assert.deepEqual(
      outside.map(({ id, kind, name, facts }) => [id, kind, name, facts]),
      [
        ["net/base/Program/filter", "Program", "filter", ["of net/base"]],
        ["net/base/Program/filter#rules", "Map", "rules", ["of net/base"]],
      ],
    );
  });

  it("has a fleet once, with what is known of each of its hosts", () => {
    const targets = {
      b: { reachable: false, drift: [] },
      a: { reachable: true, drift: ["detached from eth0"] },
      c: { reachable: true, drift: [] },
    };
    const drift = ["a: detached from eth0"];
    const program = { spec: "p/s/Program/f", entrypoint: "run" };
    const { groups } = graphOf(
      stateOf(
        resource("Program", "f", { targets: { ...targets, a: { reachable: true, drift: [] } } }, "fleet"),
        resource("Attachment", "f", { targets, drift, program, xdp: { interface: "eth0" } }, "fleet"),
      ),
    );
    assert.equal(groups.length, 1);
    assert.deepEqual(groups[0]!.hosts, [
      { name: "a", reachable: true, drifted: true },
      { name: "b", reachable: false, drifted: false },
      { name: "c", reachable: true, drifted: false },
    ]);
  });

  it("leaves out other packages, what is being replaced, and secrets", () => {
    const secret = {
      "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
      ciphertext: "v1:x",
    };
    const found = graphOf(
      stateOf(
        { urn: "urn:pulumi:s::p::aws:s3:Bucket::b", type: "aws:s3:Bucket", outputs: { specId: "x" } },
        { ...resource("Map", "old"), delete: true },
        resource("Map", "kept", { connection: secret, shape: secret }),
      ),
    );
    assert.deepEqual(
      found.groups.flatMap(({ hosts, nodes }) => [hosts[0]!.name, ...nodes.map(({ name }) => name)]),
      ["edge-1", "kept"],
    );
    assert.doesNotMatch(svgOf(found), /v1:x/);
  });

  it("is empty for a stack without resources, and an error for what is no state", () => {
    assert.deepEqual(graphOf({ version: 3, deployment: {} }).groups, []);
    assert.match(svgOf(graphOf({ deployment: { resources: [] } })), /no drift/);
    for (const wrong of [null, 7, "x", [], {}, { resources: [] }]) {
      assert.throws(
        () => graphOf(wrong),
        (error) => EbpfError.is(error, "invalid"),
      );
    }
  });
});

describe("graph: the picture", () => {
  it("is readable: nothing lies on anything else, no text leaves its box", () => {
    assertReadable(layoutOf(graphOf(recorded)));
  });

  it("is readable for any stack", () => {
    const name = fc.string({ minLength: 1, maxLength: 60 }).map((text) => text.replaceAll(/[/#]/g, "_"));
    const index = fc.nat(5);
    const host = fc.constantFrom("edge-1", "deploy@a-host-with-a-long-name.example.net:2222");
    const targets = fc
      .uniqueArray(name, { minLength: 1, maxLength: 24 })
      .map((names) =>
        Object.fromEntries(
          names.map((each, at) => [each, { reachable: at % 3 > 0, drift: at % 4 ? [] : ["x"] }]),
        ),
      );
    const outputs = fc.record(
      {
        drift: fc.array(fc.string({ maxLength: 90 }), { maxLength: 3 }),
        targets,
        object: fc.record({
          fileName: name,
          maps: fc.dictionary(name, fc.constant({ type: "hash", maxEntries: 1024 }), { maxKeys: 4 }),
          entrypoints: fc.dictionary(name, fc.constant({ type: "xdp" }), { maxKeys: 3 }),
        }),
        program: index.map((at) => ({ spec: `p/s/Program/${at}` })),
        map: index.map((at) => ({ spec: `p/s/Map/${at}`, map: "map" })),
      },
      { requiredKeys: ["drift"] },
    );
    const kind = fc.constantFrom("Program", "Map", "MapEntries", "Attachment", "NetworkPolicy");
    const resources = fc.array(fc.tuple(kind, outputs, host), { maxLength: 20 });
    fc.assert(
      fc.property(resources, (all) => {
        const made = all.map(([each, own, at], place) => resource(each, String(place), own, at));
        const graph = graphOf(stateOf(...made));
        assertReadable(layoutOf(graph));
        assert.equal(svgOf(graph), svgOf(graphOf(stateOf(...made))));
      }),
      { numRuns: 200 },
    );
  });

  it("does not depend on the order of resources in the state", () => {
    const reversed = { deployment: { resources: [...recorded.deployment.resources].reverse() } };
    assert.equal(svgOf(graphOf(reversed)), svgOf(graphOf(recorded)));
  });

  it("is well-formed XML whatever names hold", () => {
    const odd = resource("Map", `a<b>&"c"\u0007`, { drift: ["</text><script>"] });
    const svg = svgOf(graphOf(stateOf(odd)));
    assert.match(svg, /a&lt;b&gt;&amp;&quot;c&quot;\uFFFD/);
    assert.doesNotMatch(svg, /<script/);
  });
});
