/** Path of the program `codegen SCHEMA DIRECTORY`. Throws when set-up did not build it. */
export function codegenProgram(): string;
