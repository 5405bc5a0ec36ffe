/**
 * The kinds of resource. Owns: what inputs mean, the Spec they compile to, and which problems they have. Pure.
 * Does not own: files (provider/sources), hosts (provider/transport), the order of operations (provider/lifecycle).
 */
import { addressSet } from "./address-set";
import { attachment } from "./attachment";
import { map } from "./map";
import { mapEntries } from "./map-entries";
import { networkPolicy } from "./network-policy";
import { program } from "./program";
import type { ResourceDefinition } from "./resource";

export const definitions: Readonly<Record<string, ResourceDefinition>> = {
  Program: program,
  Map: map,
  MapEntries: mapEntries,
  Attachment: attachment,
  AddressSet: addressSet,
  NetworkPolicy: networkPolicy,
};
