/** BTF objects in the kernel. Reading what is in them is provider/btf's business. */
import { checkCode } from "./errno";
import { KernelObject, readInfo } from "./kernel-object";
import { libbpf } from "./library";
import { bpf_btf_info } from "./structs";
import { cText } from "./struct";

export interface BtfInfo {
  id: number;
  /** Bytes of the raw BTF. */
  size: number;
  /** A kernel's or module's own BTF. Linux 5.11. */
  kernel: boolean;
  /** `vmlinux`, a module's name, or empty. Linux 5.11. */
  name: string;
}

export class BtfHandle extends KernelObject {
  private constructor(fd: number) {
    super(fd, "btf");
  }

  /** BPF_BTF_LOAD. Linux 4.18. */
  static load(raw: Uint8Array): BtfHandle {
    return new BtfHandle(checkCode("bpf_btf_load", libbpf.bpf_btf_load(raw, raw.length, null), "load btf"));
  }

  static fromId(id: number): BtfHandle {
    return new BtfHandle(
      checkCode("bpf_btf_get_fd_by_id", libbpf.bpf_btf_get_fd_by_id(id), `open btf ${id}`),
    );
  }

  info(): BtfInfo {
    const name = Buffer.alloc(64);
    const info = readInfo(this, bpf_btf_info, { name, name_len: name.length });
    return { id: info.id, size: info.btf_size, kernel: info.kernel_btf !== 0, name: cText(name) };
  }

  /** The raw BTF, for provider/btf. */
  raw(): Buffer {
    const btf = Buffer.alloc(this.info().size);
    readInfo(this, bpf_btf_info, { btf, btf_size: btf.length });
    return btf;
  }
}
