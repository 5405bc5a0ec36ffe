/** schema.json: what other languages are told. That it is fresh and well-formed is in generated.test.ts. */
import assert from "node:assert/strict";
import schema from "../../../schema.json";
import { functions } from "../../../provider/functions";
import { definitions } from "../../../provider/resources";
import { commonInputs } from "../../../provider/resources/resource";

interface Property {
  $ref?: string;
  type?: string;
  description?: string;
  default?: unknown;
  secret?: boolean;
  oneOf?: Property[];
  items?: Property;
  additionalProperties?: Property;
}
interface TypeSpec {
  enum?: { name: string; value: string }[];
  properties?: Record<string, Property>;
  required?: string[];
}
interface ResourceSpec {
  inputProperties: Record<string, Property>;
  requiredInputs: string[];
  properties: Record<string, Property>;
  aliases: { type: string }[];
}

const types = schema.types as unknown as Record<string, TypeSpec>;
const resources = schema.resources as unknown as Record<string, ResourceSpec>;

describe("schema.json", () => {
  it("has each kind of resource, with an alias for its dynamic type, and each function", () => {
    assert.deepEqual(
      Object.entries(resources).map(([token, { aliases }]) => [token, aliases]),
      Object.keys(definitions).map((kind) => [
        `ebpf:index:${kind}`,
        [{ type: `pulumi-nodejs:dynamic/ebpf:${kind}` }],
      ]),
    );
    assert.deepEqual(
      Object.keys(schema.functions),
      Object.keys(functions).map((name) => `ebpf:index:${name}`),
    );
  });

  it("describes each property of each resource, function, type and of the provider", () => {
    const all: [string, Record<string, Property>][] = [
      ...Object.entries(types).map(([token, { properties }]): [string, Record<string, Property>] => [
        token,
        properties ?? {},
      ]),
      ...Object.entries(resources).flatMap(([token, spec]): [string, Record<string, Property>][] => [
        [token, spec.inputProperties],
        [token, spec.properties],
      ]),
      ...Object.entries(schema.functions).flatMap(([token, { inputs, outputs }]) => [
        [token, inputs.properties] as [string, Record<string, Property>],
        [token, outputs.properties] as [string, Record<string, Property>],
      ]),
      ["Provider", schema.provider.inputProperties],
      ["config", schema.config.variables],
    ];
    const silent = all.flatMap(([token, properties]) =>
      Object.entries(properties)
        .filter(([, { description = "" }]) => description.trim() === "")
        .map(([name]) => `${token}.${name}`),
    );
    assert.deepEqual(silent, []);
  });

  it("marks credentials as secrets, wherever they stand", () => {
    const secrets = ["password", "privateKey", "privateKeyPassword"];
    for (const type of ["Connection", "Proxy", "CommonConnection"]) {
      const { properties = {} } = types[`ebpf:index:${type}`]!;
      const marked = Object.keys(properties).filter((name) => properties[name]!.secret === true);
      assert.deepEqual(marked.sort(), secrets, type);
    }
    const { variables } = schema.config as { variables: Record<string, Property> };
    const marked = Object.keys(variables).filter((name) => variables[name]!.secret === true);
    assert.deepEqual(marked.sort(), [
      ...secrets,
      "proxyPassword",
      "proxyPrivateKey",
      "proxyPrivateKeyPassword",
    ]);
  });

  it("requires what nothing stands in for: the connection may be the provider's or a fleet's", () => {
    const required = Object.fromEntries(
      Object.entries(resources).map(([token, { requiredInputs }]) => [token.split(":")[2], requiredInputs]),
    );
    assert.deepEqual(required, {
      Program: ["source"],
      Map: [],
      MapEntries: ["map"],
      Attachment: ["program"],
      AddressSet: [],
      NetworkPolicy: ["interfaces"],
    });
    for (const { inputProperties } of Object.values(resources)) {
      const common = Object.keys(commonInputs).filter((name) => !["specId", "drift"].includes(name));
      assert.deepEqual(
        common.filter((name) => !(name in inputProperties)),
        [],
      );
      assert.ok(!("specId" in inputProperties) && !("drift" in inputProperties));
    }
  });

  it("gives enums names that every language can write, and the kernel's values", () => {
    const { enum: places = [] } = types["ebpf:index:CgroupAttach"]!;
    assert.deepEqual(places[0], { name: "SkbIngress", value: "skb/ingress" });
    const names = Object.values(types).flatMap(({ enum: values = [] }) => values.map(({ name }) => name));
    assert.ok(names.length > 50);
    assert.deepEqual(
      names.filter((name) => !/^[A-Z][A-Za-z0-9]*$/.test(name)),
      [],
    );
  });

  it("has a choice of text and object for `order`, its sides as one type", () => {
    const order = types["ebpf:index:Tcx"]!.properties!["order"]!;
    assert.deepEqual(order.oneOf, [{ type: "string" }, { $ref: "#/types/ebpf:index:TcxOrder" }]);
    const { properties = {}, required } = types["ebpf:index:TcxOrder"]!;
    assert.deepEqual(Object.keys(properties), ["before", "after"]);
    assert.equal(required, undefined);
  });

  it("lets an output of one resource be the input of another: both are of one type", () => {
    const [program, map, entries, attachment] = Object.values(resources);
    const refs = (property: Property | undefined) => property?.$ref ?? property?.additionalProperties?.$ref;
    assert.equal(refs(program!.properties["entrypointRefs"]), refs(attachment!.inputProperties["program"]));
    assert.equal(refs(program!.properties["mapRefs"]), refs(entries!.inputProperties["map"]));
    assert.equal(refs(map!.properties["ref"]), refs(program!.inputProperties["maps"]));
    assert.equal(
      refs(attachment!.properties["ref"]),
      refs(types["ebpf:index:TcxOrder"]!.properties!["before"]),
    );
  });

  it("has defaults of inputs, and none of outputs, which leave defaults out", () => {
    const { inputProperties, properties } = resources["ebpf:index:MapEntries"]!;
    assert.equal(inputProperties["mode"]!.default, "own");
    assert.ok(Object.values(properties).every((property) => property.default === undefined));
  });
});
