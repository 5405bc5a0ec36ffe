import * as z from "zod";
import { during } from "../lifecycle/call";
import { typeName } from "../btf";
import { connectionInput, onlyOneOf, providerFunction } from "./function";
import { layoutsOf } from "./map-layouts";
import { MAP_INPUTS, mapFacts, mapInputs, mapTarget } from "./map-target";

export const getMap = providerFunction({
  name: "getMap",
  description: "A map on a host, whoever made it.",
  inputs: z.strictObject({ ...connectionInput, ...mapInputs }),
  outputs: z.object({
    ...mapFacts,
    keyType: z
      .string()
      .meta({ description: "Type of the keys in a few words, such as `u32` or `struct flow`." }),
    valueType: z.string().meta({ description: "Type of the values, as `keyType`." }),
  }),
  async run(args, { open, signal }) {
    onlyOneOf(args, MAP_INPUTS);
    const session = await open(args.connection);
    const shown = await session.call("map.show", { map: mapTarget(args) }, during({ signal }));
    const { key, value } = layoutsOf(shown, args.map, {});
    return { ...shown.map, keyType: typeName(key), valueType: typeName(value) };
  },
});
