/** npm's own settings and their meaning; @types/npmcli__config leaves this module out. */
declare module "@npmcli/config/lib/definitions/index.js" {
  import type Config from "@npmcli/config";

  type Options = ConstructorParameters<typeof Config>[0];
  const definitions: Pick<Options, "definitions" | "shorthands" | "flatten">;
  export = definitions;
}
