/**
 * The structs that cross the border, field by field as in libbpf 1.7's headers and in uapi/linux/bpf.h.
 * A struct that ends in a union stands here once per member that is used, named `struct__member`.
 */
import { Struct } from "./struct";

// bpf.h

export const bpf_map_create_opts = new Struct("bpf_map_create_opts", {
  sz: "u64",
  btf_fd: "u32",
  btf_key_type_id: "u32",
  btf_value_type_id: "u32",
  btf_vmlinux_value_type_id: "u32",
  inner_map_fd: "u32",
  map_flags: "u32",
  map_extra: "u64",
  numa_node: "u32",
  map_ifindex: "u32",
});

export const bpf_btf_load_opts = new Struct("bpf_btf_load_opts", {
  sz: "u64",
  log_buf: "pointer",
  log_level: "u32",
  log_size: "u32",
});

export const bpf_map_batch_opts = new Struct("bpf_map_batch_opts", {
  sz: "u64",
  elem_flags: "u64",
  flags: "u64",
});

const linkCreateHead = {
  sz: "u64",
  flags: "u32",
  iter_info: "pointer",
  iter_info_len: "u32",
  target_btf_id: "u32",
} as const;

export const bpf_link_create_opts = new Struct("bpf_link_create_opts", linkCreateHead);

export const bpf_link_create_opts__perf_event = new Struct("bpf_link_create_opts__perf_event", {
  ...linkCreateHead,
  bpf_cookie: "u64",
});

export const bpf_link_create_opts__tcx = new Struct("bpf_link_create_opts__tcx", {
  ...linkCreateHead,
  relative_fd: "u32",
  relative_id: "u32",
  expected_revision: "u64",
});

export const bpf_link_update_opts = new Struct("bpf_link_update_opts", {
  sz: "u64",
  flags: "u32",
  old_prog_fd: "u32",
  old_map_fd: "u32",
});

export const bpf_prog_query_opts = new Struct("bpf_prog_query_opts", {
  sz: "u64",
  query_flags: "u32",
  attach_flags: "u32",
  prog_ids: "pointer",
  count: "u32",
  prog_attach_flags: "pointer",
  link_ids: "pointer",
  link_attach_flags: "pointer",
  revision: "u64",
});

export const bpf_test_run_opts = new Struct("bpf_test_run_opts", {
  sz: "u64",
  data_in: "pointer",
  data_out: "pointer",
  data_size_in: "u32",
  data_size_out: "u32",
  ctx_in: "pointer",
  ctx_out: "pointer",
  ctx_size_in: "u32",
  ctx_size_out: "u32",
  retval: "u32",
  repeat: "s32",
  duration: "u32",
  flags: "u32",
  cpu: "u32",
  batch_size: "u32",
});

// libbpf.h

export const bpf_object_open_opts = new Struct("bpf_object_open_opts", {
  sz: "u64",
  object_name: "pointer",
  relaxed_maps: "u8",
  pin_root_path: "pointer",
  /** A bit-field without a name in C. */
  padding: "u32",
  kconfig: "pointer",
  btf_custom_path: "pointer",
});

export const bpf_xdp_attach_opts = new Struct("bpf_xdp_attach_opts", { sz: "u64", old_prog_fd: "s32" });

export const bpf_xdp_query_opts = new Struct("bpf_xdp_query_opts", {
  sz: "u64",
  prog_id: "u32",
  drv_prog_id: "u32",
  hw_prog_id: "u32",
  skb_prog_id: "u32",
  attach_mode: "u8",
  feature_flags: "u64",
});

export const bpf_tc_hook = new Struct("bpf_tc_hook", {
  sz: "u64",
  ifindex: "s32",
  attach_point: "u32",
  parent: "u32",
});

export const bpf_tc_opts = new Struct("bpf_tc_opts", {
  sz: "u64",
  prog_fd: "s32",
  flags: "u32",
  prog_id: "u32",
  handle: "u32",
  priority: "u32",
});

// uapi/linux/bpf.h

export const bpf_prog_info = new Struct("bpf_prog_info", {
  type: "u32",
  id: "u32",
  tag: 8,
  jited_prog_len: "u32",
  xlated_prog_len: "u32",
  jited_prog_insns: "u64",
  xlated_prog_insns: "u64",
  load_time: "u64",
  created_by_uid: "u32",
  nr_map_ids: "u32",
  map_ids: "pointer",
  name: 16,
  ifindex: "u32",
  gpl_compatible: "u32",
  netns_dev: "u64",
  netns_ino: "u64",
  nr_jited_ksyms: "u32",
  nr_jited_func_lens: "u32",
  jited_ksyms: "u64",
  jited_func_lens: "u64",
  btf_id: "u32",
  func_info_rec_size: "u32",
  func_info: "u64",
  nr_func_info: "u32",
  nr_line_info: "u32",
  line_info: "u64",
  jited_line_info: "u64",
  nr_jited_line_info: "u32",
  line_info_rec_size: "u32",
  jited_line_info_rec_size: "u32",
  nr_prog_tags: "u32",
  prog_tags: "u64",
  run_time_ns: "u64",
  run_cnt: "u64",
  recursion_misses: "u64",
  verified_insns: "u32",
  attach_btf_obj_id: "u32",
  attach_btf_id: "u32",
});

export const bpf_map_info = new Struct("bpf_map_info", {
  type: "u32",
  id: "u32",
  key_size: "u32",
  value_size: "u32",
  max_entries: "u32",
  map_flags: "u32",
  name: 16,
  ifindex: "u32",
  btf_vmlinux_value_type_id: "u32",
  netns_dev: "u64",
  netns_ino: "u64",
  btf_id: "u32",
  btf_key_type_id: "u32",
  btf_value_type_id: "u32",
  btf_vmlinux_id: "u32",
  map_extra: "u64",
});

export const bpf_btf_info = new Struct("bpf_btf_info", {
  btf: "pointer",
  btf_size: "u32",
  id: "u32",
  name: "pointer",
  name_len: "u32",
  kernel_btf: "u32",
});

const linkInfoHead = { type: "u32", id: "u32", prog_id: "u32" } as const;

/** The head all links share; the rest is read by one of the structs below. */
export const bpf_link_info = new Struct("bpf_link_info", linkInfoHead);

export const bpf_link_info__raw_tracepoint = new Struct("bpf_link_info__raw_tracepoint", {
  ...linkInfoHead,
  tp_name: "pointer",
  tp_name_len: "u32",
});

export const bpf_link_info__tracing = new Struct("bpf_link_info__tracing", {
  ...linkInfoHead,
  /** The union is aligned to 8, C leaves 4 bytes before it. */
  padding: "u32",
  attach_type: "u32",
  target_obj_id: "u32",
  target_btf_id: "u32",
});

export const bpf_link_info__cgroup = new Struct("bpf_link_info__cgroup", {
  ...linkInfoHead,
  cgroup_id: "u64",
  attach_type: "u32",
});

export const bpf_link_info__netns = new Struct("bpf_link_info__netns", {
  ...linkInfoHead,
  padding: "u32",
  netns_ino: "u32",
  attach_type: "u32",
});

export const bpf_link_info__xdp = new Struct("bpf_link_info__xdp", {
  ...linkInfoHead,
  padding: "u32",
  ifindex: "u32",
});

export const bpf_link_info__tcx = new Struct("bpf_link_info__tcx", {
  ...linkInfoHead,
  padding: "u32",
  ifindex: "u32",
  attach_type: "u32",
});

export const bpf_link_info__perf_event = new Struct("bpf_link_info__perf_event", {
  ...linkInfoHead,
  padding: "u32",
  perf_event_type: "u32",
  padding2: "u32",
  tp_name: "pointer",
  name_len: "u32",
});

// uapi/linux/perf_event.h, sys/resource.h

/** The first 64 bytes are PERF_ATTR_SIZE_VER0, which every kernel takes. */
export const perf_event_attr = new Struct("perf_event_attr", {
  type: "u32",
  size: "u32",
  config: "u64",
  sample_period: "u64",
  sample_type: "u64",
  read_format: "u64",
  flags: "u64",
  wakeup_events: "u32",
  bp_type: "u32",
  config1: "u64",
});

export const rlimit = new Struct("rlimit", { rlim_cur: "u64", rlim_max: "u64" });
