/** Ed25519 keys in OpenSSH's format, made without a process. */
import { utils } from "ssh2";

export interface SshKey {
  /** PEM text of the private key. */
  privateKey: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  publicKey: string;
}

export function makeSshKey(): SshKey {
  for (;;) {
    const { private: privateKey, public: publicKey } = utils.generateKeyPairSync("ed25519");
    // of 200 keys that ssh2 1.17 makes, one is malformed, for itself and for OpenSSH
    if (!(utils.parseKey(privateKey) instanceof Error)) return { privateKey, publicKey: publicKey.trim() };
  }
}
