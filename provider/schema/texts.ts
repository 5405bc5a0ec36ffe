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
  AddressSet:
    "Networks with a name, on one host, for the rules of any NetworkPolicy there, also of other stacks. A change costs what " +
    "changed, and takes effect in all policies that name the set at once. While a policy names it, it cannot be deleted.",
  NetworkPolicy:
    "Who may talk to whom, on interfaces of one host: Kubernetes' NetworkPolicy, with explicit denies, an audit mode and " +
    "replies of open connections, sentence by sentence in docs/network-policy.md. All policies of an interface, of all " +
    "stacks, are judged together. A change is atomic for each packet; one that would cut its own connection is refused.",
  Attachment: "One program on one hook. Exactly one of the hooks is given.",
};
