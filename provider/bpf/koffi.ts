/** koffi, typed for CommonJS: its declarations are of an ES module although it ships a CommonJS build too. */
import type * as Koffi from "koffi" with { "resolution-mode": "import" };

export type LibraryHandle = Koffi.LibraryHandle;

// eslint-disable-next-line @typescript-eslint/no-require-imports -- an import statement would be refused as ESM (TS1479)
export const koffi = require("koffi") as typeof Koffi;
