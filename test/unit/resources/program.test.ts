import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { digestOf } from "../../../provider/protocol/spec";
import { type CheckedProgram, program } from "../../../provider/resources/program";
import type { ObjectSource } from "../../../provider/sources/source";
import { Workshop } from "../btf/compile";

describe("Program", () => {
  let workshop: Workshop;
  let source: ObjectSource;

  before(() => {
    workshop = new Workshop();
    source = sourceOf(readFileSync(workshop.object("objects.bpf.c")));
  });
  after(() => workshop.remove());

  function sourceOf(bytes: Buffer): ObjectSource {
    const blob = digestOf(bytes);
    return { kind: "object", property: "source", fileName: "objects.o", blob, sourceDigest: blob, bytes };
  }

  function resolve(change: Record<string, unknown>, from = source) {
    const args = program.inputs.parse({
      connection: { host: "h" },
      specId: "p/s/Program/filter",
      drift: [],
      source: "./objects.o",
      ...change,
    });
    return program.resolve(args, [from]);
  }

  function checkedOf(change: Record<string, unknown>): CheckedProgram {
    const result = resolve(change);
    assert.ok("checked" in result, JSON.stringify(result));
    return result.checked;
  }

  function problemsOf(change: Record<string, unknown>, from = source): string[] {
    const result = resolve(change, from);
    assert.ok("problems" in result, "it was accepted");
    return result.problems.map(({ property, reason }) => `${property}: ${reason}`);
  }

  it("loads what libbpf would load by itself, or what is named", () => {
    const all = Object.keys(checkedOf({}).object.entrypoints).sort();
    assert.deepEqual(all, ["connecting", "first", "opening", "second", "tail"]);
    const chosen = checkedOf({ load: ["switched"] });
    assert.deepEqual(chosen.object.entrypoints, { switched: { type: "tracepoint" } });
    assert.deepEqual(program.compile(chosen).objects[0]!.entrypoints, ["switched"]);
  });

  it("says what the maps hold, without the internal ones", () => {
    const { maps } = checkedOf({}).object;
    assert.equal(maps[".rodata"], undefined);
    assert.equal(maps["blocked"]!.type, "lpm_trie");
    assert.equal(maps["blocked"]!.keySize, 8);
    assert.equal((maps["flows"]!.keyLayout as { kind: string }).kind, "struct");
  });

  it("encodes globals at their place, of every section", () => {
    const globals = {
      sample_rate: 9,
      limit: "18446744073709551615",
      total: 3,
      custom: { packets: 1, bytes: 2 },
    };
    const checked = checkedOf({ globals });
    const values = program.compile(checked).objects[0]!.globals;
    const hex = Object.fromEntries(
      values.map(({ name, bytes }) => [name, Buffer.from(bytes, "base64").toString("hex")]),
    );
    assert.deepEqual(hex, {
      custom: "01000000000000000200000000000000",
      limit: "ffffffffffffffff",
      sample_rate: "09000000",
      total: "0300000000000000",
    });
    const sections = Object.fromEntries(values.map(({ name, section }) => [name, section]));
    assert.deepEqual(sections, {
      custom: ".data.limits",
      limit: ".data",
      sample_rate: ".rodata",
      total: ".bss",
    });
  });

  it("does not repeat the values of globals, which may be secret, in what it computes", () => {
    const { object } = checkedOf({ globals: { label: "hunter2" } });
    assert.doesNotMatch(JSON.stringify(object), /hunter2|aHVudGVyMg/);
  });

  it("reports everything wrong with globals, maps and entrypoints together, naming what there is", () => {
    const shared = { spec: "p/s/Map/m", map: "m", type: "hash", keySize: 4, valueSize: 16, maxEntries: 1 };
    const problems = problemsOf({
      load: ["frist"],
      globals: { sample_rat: 1, blocked: 1, label: "far too long for it", sample_rate: -1 },
      maps: { flow: shared, flows: shared },
    });
    assert.deepEqual(problems, [
      'load[0]: objects.o has no program "frist"; it has programs: connecting, first, opening, second, switched, tail; did you mean "first"?',
      'globals.sample_rat: objects.o has no global "sample_rat"; it has globals: custom, hidden_one, hits, label, limit, local, sample_rate, second.calls, total; did you mean "sample_rate"?',
      'globals.blocked: "blocked" is a map of objects.o, no global: use MapEntries',
      'globals.label: "far too long for it" has 19 bytes, 8 fit',
      "globals.sample_rate: -1 does not fit 32 bits unsigned (0 to 4294967295)",
      'maps.flow: objects.o has no map "flow"; it has maps: blocked, events, flows, inner_a, jumps, outer, samples, seen, sized; did you mean "flows"?',
      'maps.flows: map "m" of p/s/Map/m has type hash, but objects.o was compiled for lru_hash',
      'maps.flows: map "m" of p/s/Map/m has key size 4, but objects.o was compiled for 16',
    ]);
  });

  it("refuses what is no BPF object, or has no program", () => {
    assert.match(problemsOf({}, sourceOf(Buffer.from("#!/bin/sh\n")))[0]!, /^source: /);
    assert.match(problemsOf({}, sourceOf(readFileSync("/bin/true")))[0]!, /^source: .*BPF/);
    const empty = workshop.objectOf("int nothing;");
    assert.match(problemsOf({}, sourceOf(readFileSync(empty)))[0]!, /has no program/);
  });

  it("takes the blob of the state when the C text is the same, compiled by another clang", () => {
    const object = checkedOf({});
    assert.equal(object.object.sourceDigest, undefined);
    const olds = { ...object, object: { ...object.object, sourceDigest: "text" } };
    const recompiled = { ...olds, object: { ...olds.object, blob: "other" } };
    assert.deepEqual(program.settle!(olds, recompiled), olds);
    const changed = { ...olds, object: { ...olds.object, blob: "other", sourceDigest: "other" } };
    assert.deepEqual(program.settle!(olds, changed), changed);
    const replaced = { ...object, object: { ...object.object, blob: "other" } };
    assert.deepEqual(program.settle!(object, replaced), replaced);
  });
});
