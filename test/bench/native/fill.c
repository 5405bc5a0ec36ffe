// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * fill PIN FILE KEY_SIZE VALUE_SIZE: puts packed key|value records into a pinned map by libbpf's batch calls.
 * The rival of the bench's entries rows; as quick as a hand-written program is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <bpf/bpf.h>

#define BATCH 65536

int main(int argc, char **argv)
{
	size_t key_size, value_size, record, count, i, n;
	char *keys, *values, *records;
	struct stat status;
	int map, file;
	__u32 batch;

	if (argc != 5) {
		fprintf(stderr, "usage: fill PIN FILE KEY_SIZE VALUE_SIZE\n");
		return 2;
	}
	key_size = strtoul(argv[3], NULL, 10);
	value_size = strtoul(argv[4], NULL, 10);
	record = key_size + value_size;
	map = bpf_obj_get(argv[1]);
	file = open(argv[2], O_RDONLY);
	if (map < 0 || file < 0 || fstat(file, &status)) {
		perror(map < 0 ? argv[1] : argv[2]);
		return 1;
	}
	records = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
	keys = malloc(BATCH * key_size);
	values = malloc(BATCH * value_size);
	if (records == MAP_FAILED || !keys || !values) {
		perror("memory");
		return 1;
	}
	count = status.st_size / record;
	for (i = 0; i < count; i += n) {
		for (n = 0; n < BATCH && i + n < count; n++) {
			memcpy(keys + n * key_size, records + (i + n) * record, key_size);
			memcpy(values + n * value_size, records + (i + n) * record + key_size, value_size);
		}
		batch = n;
		if (bpf_map_update_batch(map, keys, values, &batch, NULL)) {
			perror("update batch");
			return 1;
		}
	}
	printf("%zu\n", count);
	return 0;
}
