/**
 * A dynamic provider that does nothing, with resources of the same names and inputs as pulumi-ebpf: what is left is the
 * engine's own time. It reaches the engine as pulumi-ebpf does, by a constant text instead of a serialised closure.
 */
"use strict";
const pulumi = require("@pulumi/pulumi");

class Resource extends pulumi.CustomResource {
  constructor(kind, name, args) {
    super(`pulumi-nodejs:dynamic/empty:${kind}`, name, {
      ...args,
      specId: `${pulumi.getProject()}/${pulumi.getStack()}/${kind}/${name}`,
      __provider: `exports.handler = () => require("empty/provider").provider(${JSON.stringify(kind)});`,
    });
  }
}

/** What refers to another resource waits for it, as it does with us. */
const part = (resource, names) => resource.specId.apply((spec) => ({ spec, ...names }));

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
    super("MapEntries", name, { map: map instanceof Map ? part(map, { map: "map" }) : map, ...args });
  }
}

class Attachment extends Resource {
  constructor(name, args) {
    super("Attachment", name, args);
  }
}

module.exports = { Program, Map, MapEntries, Attachment };
