/**
 * Providers that do nothing, with resources of the same names and inputs as pulumi-ebpf: what is left is the engine's own
 * time. The dynamic one reaches the engine as pulumi-ebpf does, by a constant text instead of a serialised closure; the
 * other is a plugin (plugin/).
 */
"use strict";
const pulumi = require("@pulumi/pulumi");

class Resource extends pulumi.CustomResource {
  constructor(kind, name, args) {
    const plugin = new pulumi.Config("ebpf").get("mode") === "plugin";
    const specId = `${pulumi.getProject()}/${pulumi.getStack()}/${kind}/${name}`;
    const provider = `exports.handler = () => require("empty/provider").provider(${JSON.stringify(kind)});`;
    super(plugin ? `empty:index:${kind}` : `pulumi-nodejs:dynamic/empty:${kind}`, name, {
      ...args,
      specId,
      ...(plugin ? {} : { __provider: provider }),
    });
  }
}

/** What refers to another resource waits for it and takes its connection, as it does with us. */
const part = (resource, names) =>
  resource.connection.apply((connection) =>
    resource.specId.apply((spec) => ({ connection, spec, ...names })),
  );

const split = (reference, name) => ({
  connection: reference.apply(({ connection }) => connection),
  [name]: reference.apply(({ connection: _, ...rest }) => rest),
});

class Program extends Resource {
  constructor(name, args) {
    super("Program", name, args);
  }
  entrypoint(entrypoint) {
    return part(this, { entrypoint });
  }
  map(map) {
    return part(this, { map });
  }
}

class Map extends Resource {
  constructor(name, args) {
    super("Map", name, args);
  }
}

class MapEntries extends Resource {
  constructor(name, { map, ...args }) {
    super("MapEntries", name, {
      ...args,
      ...split(map instanceof Map ? part(map, { map: "map" }) : map, "map"),
    });
  }
}

class Attachment extends Resource {
  constructor(name, { program, ...args }) {
    super("Attachment", name, { ...args, ...split(program, "program") });
  }
}

module.exports = { Program, Map, MapEntries, Attachment };
