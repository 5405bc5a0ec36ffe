/**
 * C prototypes, copied from bpf.h and libbpf.h of libbpf 1.7 in the order of those headers, and from the man
 * pages of libc. The text is the type: results are derived from it, so that the table can be checked by eye.
 */

/** bpf.h, then libbpf.h. */
export const libbpfPrototypes = {
  bpf_map_create:
    "int bpf_map_create(enum bpf_map_type map_type, const char *map_name, __u32 key_size, __u32 value_size, __u32 max_entries, const struct bpf_map_create_opts *opts)",
  bpf_btf_load: "int bpf_btf_load(const void *btf_data, size_t btf_size, struct bpf_btf_load_opts *opts)",
  bpf_map_update_elem: "int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)",
  bpf_map_lookup_elem_flags:
    "int bpf_map_lookup_elem_flags(int fd, const void *key, void *value, __u64 flags)",
  bpf_map_lookup_and_delete_elem: "int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)",
  bpf_map_delete_elem: "int bpf_map_delete_elem(int fd, const void *key)",
  bpf_map_get_next_key: "int bpf_map_get_next_key(int fd, const void *key, void *next_key)",
  bpf_map_freeze: "int bpf_map_freeze(int fd)",
  bpf_map_delete_batch:
    "int bpf_map_delete_batch(int fd, const void *keys, __u32 *count, const struct bpf_map_batch_opts *opts)",
  bpf_map_lookup_batch:
    "int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, __u32 *count, const struct bpf_map_batch_opts *opts)",
  bpf_map_update_batch:
    "int bpf_map_update_batch(int fd, const void *keys, const void *values, __u32 *count, const struct bpf_map_batch_opts *opts)",
  bpf_obj_pin: "int bpf_obj_pin(int fd, const char *pathname)",
  bpf_obj_get: "int bpf_obj_get(const char *pathname)",
  bpf_link_create:
    "int bpf_link_create(int prog_fd, int target_fd, enum bpf_attach_type attach_type, const struct bpf_link_create_opts *opts)",
  bpf_link_detach: "int bpf_link_detach(int link_fd)",
  bpf_link_update:
    "int bpf_link_update(int link_fd, int new_prog_fd, const struct bpf_link_update_opts *opts)",
  bpf_prog_get_next_id: "int bpf_prog_get_next_id(__u32 start_id, __u32 *next_id)",
  bpf_map_get_next_id: "int bpf_map_get_next_id(__u32 start_id, __u32 *next_id)",
  bpf_btf_get_next_id: "int bpf_btf_get_next_id(__u32 start_id, __u32 *next_id)",
  bpf_link_get_next_id: "int bpf_link_get_next_id(__u32 start_id, __u32 *next_id)",
  bpf_prog_get_fd_by_id: "int bpf_prog_get_fd_by_id(__u32 id)",
  bpf_map_get_fd_by_id: "int bpf_map_get_fd_by_id(__u32 id)",
  bpf_btf_get_fd_by_id: "int bpf_btf_get_fd_by_id(__u32 id)",
  bpf_link_get_fd_by_id: "int bpf_link_get_fd_by_id(__u32 id)",
  bpf_obj_get_info_by_fd: "int bpf_obj_get_info_by_fd(int bpf_fd, void *info, __u32 *info_len)",
  bpf_prog_query_opts:
    "int bpf_prog_query_opts(int target, enum bpf_attach_type type, struct bpf_prog_query_opts *opts)",
  bpf_prog_query:
    "int bpf_prog_query(int target_fd, enum bpf_attach_type type, __u32 query_flags, __u32 *attach_flags, __u32 *prog_ids, __u32 *prog_cnt)",
  bpf_raw_tracepoint_open: "int bpf_raw_tracepoint_open(const char *name, int prog_fd)",
  bpf_prog_bind_map: "int bpf_prog_bind_map(int prog_fd, int map_fd, const struct bpf_prog_bind_opts *opts)",
  bpf_prog_test_run_opts: "int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts)",

  libbpf_major_version: "__u32 libbpf_major_version(void)",
  libbpf_minor_version: "__u32 libbpf_minor_version(void)",
  libbpf_set_print: "libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t fn)",
  bpf_object__open_file:
    "struct bpf_object *bpf_object__open_file(const char *path, const struct bpf_object_open_opts *opts)",
  bpf_object__open_mem:
    "struct bpf_object *bpf_object__open_mem(const void *obj_buf, size_t obj_buf_sz, const struct bpf_object_open_opts *opts)",
  bpf_object__load: "int bpf_object__load(struct bpf_object *obj)",
  bpf_object__close: "void bpf_object__close(struct bpf_object *obj)",
  bpf_object__btf_fd: "int bpf_object__btf_fd(const struct bpf_object *obj)",
  bpf_object__next_program:
    "struct bpf_program *bpf_object__next_program(const struct bpf_object *obj, struct bpf_program *prog)",
  bpf_program__set_ifindex: "void bpf_program__set_ifindex(struct bpf_program *prog, __u32 ifindex)",
  bpf_program__name: "const char *bpf_program__name(const struct bpf_program *prog)",
  bpf_program__section_name: "const char *bpf_program__section_name(const struct bpf_program *prog)",
  bpf_program__autoload: "bool bpf_program__autoload(const struct bpf_program *prog)",
  bpf_program__set_autoload: "int bpf_program__set_autoload(struct bpf_program *prog, bool autoload)",
  bpf_program__insn_cnt: "size_t bpf_program__insn_cnt(const struct bpf_program *prog)",
  bpf_program__fd: "int bpf_program__fd(const struct bpf_program *prog)",
  bpf_program__type: "enum bpf_prog_type bpf_program__type(const struct bpf_program *prog)",
  bpf_program__set_type: "int bpf_program__set_type(struct bpf_program *prog, enum bpf_prog_type type)",
  bpf_program__expected_attach_type:
    "enum bpf_attach_type bpf_program__expected_attach_type(const struct bpf_program *prog)",
  bpf_program__set_expected_attach_type:
    "int bpf_program__set_expected_attach_type(struct bpf_program *prog, enum bpf_attach_type type)",
  bpf_program__set_log_level: "int bpf_program__set_log_level(struct bpf_program *prog, __u32 log_level)",
  bpf_program__set_log_buf:
    "int bpf_program__set_log_buf(struct bpf_program *prog, char *log_buf, size_t log_size)",
  bpf_program__set_attach_target:
    "int bpf_program__set_attach_target(struct bpf_program *prog, int attach_prog_fd, const char *attach_func_name)",
  bpf_object__next_map:
    "struct bpf_map *bpf_object__next_map(const struct bpf_object *obj, const struct bpf_map *map)",
  bpf_map__set_autocreate: "int bpf_map__set_autocreate(struct bpf_map *map, bool autocreate)",
  bpf_map__fd: "int bpf_map__fd(const struct bpf_map *map)",
  bpf_map__reuse_fd: "int bpf_map__reuse_fd(struct bpf_map *map, int fd)",
  bpf_map__name: "const char *bpf_map__name(const struct bpf_map *map)",
  bpf_map__type: "enum bpf_map_type bpf_map__type(const struct bpf_map *map)",
  bpf_map__max_entries: "__u32 bpf_map__max_entries(const struct bpf_map *map)",
  bpf_map__set_max_entries: "int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries)",
  bpf_map__map_flags: "__u32 bpf_map__map_flags(const struct bpf_map *map)",
  bpf_map__set_map_flags: "int bpf_map__set_map_flags(struct bpf_map *map, __u32 flags)",
  bpf_map__numa_node: "__u32 bpf_map__numa_node(const struct bpf_map *map)",
  bpf_map__set_numa_node: "int bpf_map__set_numa_node(struct bpf_map *map, __u32 numa_node)",
  bpf_map__key_size: "__u32 bpf_map__key_size(const struct bpf_map *map)",
  bpf_map__value_size: "__u32 bpf_map__value_size(const struct bpf_map *map)",
  bpf_map__btf_key_type_id: "__u32 bpf_map__btf_key_type_id(const struct bpf_map *map)",
  bpf_map__btf_value_type_id: "__u32 bpf_map__btf_value_type_id(const struct bpf_map *map)",
  bpf_map__set_ifindex: "int bpf_map__set_ifindex(struct bpf_map *map, __u32 ifindex)",
  bpf_map__map_extra: "__u64 bpf_map__map_extra(const struct bpf_map *map)",
  bpf_map__initial_value: "void *bpf_map__initial_value(const struct bpf_map *map, size_t *psize)",
  bpf_map__is_internal: "bool bpf_map__is_internal(const struct bpf_map *map)",
  bpf_map__set_pin_path: "int bpf_map__set_pin_path(struct bpf_map *map, const char *path)",
  bpf_map__pin_path: "const char *bpf_map__pin_path(const struct bpf_map *map)",
  bpf_map__set_inner_map_fd: "int bpf_map__set_inner_map_fd(struct bpf_map *map, int fd)",
  bpf_map__inner_map: "struct bpf_map *bpf_map__inner_map(struct bpf_map *map)",
  bpf_xdp_attach:
    "int bpf_xdp_attach(int ifindex, int prog_fd, __u32 flags, const struct bpf_xdp_attach_opts *opts)",
  bpf_xdp_detach: "int bpf_xdp_detach(int ifindex, __u32 flags, const struct bpf_xdp_attach_opts *opts)",
  bpf_xdp_query: "int bpf_xdp_query(int ifindex, int flags, struct bpf_xdp_query_opts *opts)",
  bpf_tc_hook_create: "int bpf_tc_hook_create(struct bpf_tc_hook *hook)",
  bpf_tc_hook_destroy: "int bpf_tc_hook_destroy(struct bpf_tc_hook *hook)",
  bpf_tc_attach: "int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)",
  bpf_tc_detach: "int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *opts)",
  bpf_tc_query: "int bpf_tc_query(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)",
  ring_buffer__new:
    "struct ring_buffer *ring_buffer__new(int map_fd, ring_buffer_sample_fn sample_cb, void *ctx, const struct ring_buffer_opts *opts)",
  ring_buffer__free: "void ring_buffer__free(struct ring_buffer *rb)",
  ring_buffer__consume: "int ring_buffer__consume(struct ring_buffer *rb)",
  libbpf_num_possible_cpus: "int libbpf_num_possible_cpus(void)",
} as const;

/** libc; man sections 2 and 3. Variadic ones are declared once per use. */
export const libcPrototypes = {
  setns: "int setns(int fd, int nstype)",
  unshare: "int unshare(int flags)",
  socket: "int socket(int domain, int type, int protocol)",
  flock: "int flock(int fd, int operation)",
  mount:
    "int mount(const char *source, const char *target, const char *filesystemtype, unsigned long mountflags, const void *data)",
  umount2: "int umount2(const char *target, int flags)",
  getrlimit: "int getrlimit(int resource, struct rlimit *rlim)",
  setrlimit: "int setrlimit(int resource, const struct rlimit *rlim)",
  if_nametoindex: "unsigned int if_nametoindex(const char *ifname)",
  if_indextoname: "char *if_indextoname(unsigned int ifindex, char *ifname)",
  vsnprintf: "int vsnprintf(char *str, size_t size, const char *format, va_list ap)",
  syscall: "long syscall(long number, ...)",
  fcntl: "int fcntl(int fd, int op, ...)",
} as const;

/** JavaScript's view of the C result. */
export type Result<P extends string> = P extends `void ${string}(${string}` & `void *${string}`
  ? bigint | null
  : P extends `void ${string}`
    ? void
    : P extends `bool ${string}`
      ? boolean
      : P extends `const char *${string}`
        ? string | null
        : P extends `${"int" | "enum" | "__u32" | "unsigned int" | "long"} ${string}`
          ? P extends `${string}*${string}(${string}`
            ? bigint | null
            : number
          : P extends `${"__u64" | "size_t"} ${string}`
            ? number | bigint
            : bigint | null;
