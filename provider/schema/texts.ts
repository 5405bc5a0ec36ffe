/** What schema.json and the reference pages say alike, and no zod schema does. */

/** Set by adapters and lifecycle, never by a program: outputs only. */
export const notInputs: readonly string[] = ["specId", "drift"];

/** What each resource is. */
export const resourceTexts: Readonly<Record<string, string>> = {
  Provider: "Configuration for several resources: one connection, one way of previews. It is optional.",
  Program:
    "One object file on one host: its programs are verified and loaded, its maps created, its globals set. It runs " +
    "nowhere by itself: that is what Attachments are for. A change of source, globals or shared maps loads it anew and " +
    "swaps every Attachment of it, without a gap.",
  Map: "A map of its own on one host. Programs share it by `maps`; it outlives them.",
  MapEntries: "Rows of a map. An update writes the rows that changed and no others.",
  Attachment: "One program on one hook. Exactly one of the hooks is given.",
};
