import assert from "node:assert/strict";
import fc from "fast-check";
import {
  assertRemovable,
  pathPart,
  pinPath,
  recordPath,
  revisionDirectory,
  rootsFrom,
} from "../../../provider/agent/layout";
import { formatSpecId } from "../../../provider/protocol/spec-id";

const roots = rootsFrom({});
const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.string({ unit: "binary", minLength: 150, maxLength: 400 }),
);
const name = fc.string({ unit: "grapheme", minLength: 1 });

describe("names on the host", () => {
  it("makes one path component of any text: no dot, no slash, at most 200 bytes", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const part = pathPart(text);
        assert.match(part, /^[A-Za-z0-9_%~u-]+$/);
        assert.ok(Buffer.byteLength(part) <= 200);
      }),
    );
  });

  it("gives different texts different components", () => {
    const pair = fc.oneof(
      fc.tuple(anyText, anyText),
      // texts that differ late, or only in what is escaped
      anyText.chain((text) =>
        fc.tuple(fc.constant(text), fc.constantFrom(`${text}.`, `${text}%2E`, `${text}/`, text.slice(1))),
      ),
    );
    fc.assert(fc.property(pair, ([a, b]) => (a === b) === (pathPart(a) === pathPart(b))));
  });

  it("tells a lone surrogate from its replacement character", () => {
    assert.notEqual(pathPart("\ud800"), pathPart("\ufffd"));
  });

  it("keeps apart what an owner and a project could spell alike", () => {
    const owned = { owner: "a", project: "b", stack: "s", kind: "K", name: "n" };
    const plain = { project: "a:b", stack: "s", kind: "K", name: "n" };
    const directories = [owned, plain].map((id) => revisionDirectory(roots, formatSpecId(id), 1));
    assert.notEqual(directories[0], directories[1]);
  });

  it("removes every pin that it can name, and nothing else", () => {
    fc.assert(
      fc.property(
        name,
        name,
        name,
        name,
        fc.integer({ min: 1 }),
        anyText,
        (project, stack, kind, spec, revision, part) => {
          const id = formatSpecId({ project, stack, kind, name: spec });
          assertRemovable(roots, pinPath(roots, id, revision, "links", part));
          assertRemovable(roots, revisionDirectory(roots, id, revision));
          assert.ok(recordPath(roots, id).startsWith("/var/lib/pulumi-ebpf/records/"));
        },
      ),
    );
    for (const wrong of [
      "/sys/fs/bpf",
      "/sys/fs/bpf/other",
      "/etc/passwd",
      "/sys/fs/bpf/pulumi-ebpf/../other",
      "/sys/fs/bpf/pulumi-ebpf/a/b/c/d/1/progs/x",
      "/sys/fs/bpf/pulumi-ebpf/a/b/c/d/latest",
      "/sys/fs/bpf/pulumi-ebpf/a/b/c/d/1/links/x/y",
      "/sys/fs/bpf/pulumi-ebpf/a.b",
    ]) {
      assert.throws(() => assertRemovable(roots, wrong), { code: "internal" }, wrong);
    }
  });
});
