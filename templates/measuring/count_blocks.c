/*
 * A QEMU plugin (API version 1) that counts how often each piece of a program runs, segment by segment.
 *
 * Arguments: marks=FILE, lines of "address segment": when the instruction at the address is reached, what runs belongs
 * to that segment until the next mark; and out=FILE, where "segment address instructions count bytes" is written for
 * each piece that ran in a segment other than 0, which is where a program starts.
 *
 * A piece is a translation block, or a part of one between marks, so that a mark splits the count where it stands. The
 * declarations are those of QEMU's documentation of the API; its header is not in Debian's packages. One thread only.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info qemu_info_t;

enum { NO_REGISTERS = 0 };
enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*reached)(unsigned, void *), int flags,
                                            void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation, void *counter,
                                                uint64_t value);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*ended)(qemu_plugin_id_t, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 1;

struct mark {
    uint64_t address;
    uint32_t segment;
};

struct piece {
    struct piece *next;      /* of all */
    struct piece *same_slot; /* of the hash table */
    uint64_t address;
    uint64_t hash; /* of the code: memory may be written and run again */
    uint32_t instructions;
    uint32_t size;
    unsigned char *bytes;
    uint64_t runs;    /* in all */
    uint64_t settled; /* of these, already in `counts` */
    uint64_t *counts; /* by segment; NULL until it ran in one */
};

enum { SLOTS = 1 << 16 };

static struct mark *marks; /* sorted by address */
static size_t mark_count;
static uint32_t segment_count = 1;
static uint32_t segment;
static struct piece *slots[SLOTS];
static struct piece *pieces;
static const char *out;

static void *allocate(size_t count, size_t size)
{
    void *const memory = calloc(count, size);

    if (memory == NULL) {
        fputs("count_blocks: out of memory\n", stderr);
        abort();
    }
    return memory;
}

/* Give what ran since the last time to the segment that ends. */
static void settle(void)
{
    for (struct piece *piece = pieces; piece != NULL; piece = piece->next) {
        if (piece->runs != piece->settled) {
            if (piece->counts == NULL) {
                piece->counts = allocate(segment_count, sizeof piece->counts[0]);
            }
            piece->counts[segment] += piece->runs - piece->settled;
            piece->settled = piece->runs;
        }
    }
}

static void reach_mark(unsigned cpu, void *data)
{
    const struct mark *const mark = data;

    (void)cpu;
    settle();
    segment = mark->segment;
}

static int compare_marks(const void *a, const void *b)
{
    const struct mark *const x = a, *const y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

static struct mark *mark_at(uint64_t address)
{
    const struct mark wanted = {address, 0};

    return mark_count == 0 ? NULL : bsearch(&wanted, marks, mark_count, sizeof marks[0], compare_marks);
}

/* The piece of instructions `first` to `last` - 1 of a translation block: the same one if it was translated before. */
static struct piece *find_piece(const struct qemu_plugin_tb *tb, size_t first, size_t last)
{
    const uint64_t address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, first));
    uint64_t hash = UINT64_C(14695981039346656037);
    size_t size = 0;
    struct piece *piece, **slot;

    for (size_t i = first; i < last; i++) {
        const struct qemu_plugin_insn *const insn = qemu_plugin_tb_get_insn(tb, i);
        const unsigned char *const bytes = qemu_plugin_insn_data(insn);

        for (size_t j = 0; j < qemu_plugin_insn_size(insn); j++) {
            hash = (hash ^ bytes[j]) * UINT64_C(1099511628211);
        }
        size += qemu_plugin_insn_size(insn);
    }
    slot = &slots[(address ^ address >> 16 ^ hash) % SLOTS];
    for (piece = *slot; piece != NULL; piece = piece->same_slot) {
        if (piece->address == address && piece->hash == hash && piece->instructions == last - first) {
            return piece;
        }
    }
    piece = allocate(1, sizeof *piece);
    piece->address = address;
    piece->hash = hash;
    piece->instructions = (uint32_t)(last - first);
    piece->bytes = allocate(size, 1);
    for (size_t i = first; i < last; i++) {
        const struct qemu_plugin_insn *const insn = qemu_plugin_tb_get_insn(tb, i);

        memcpy(piece->bytes + piece->size, qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
        piece->size += (uint32_t)qemu_plugin_insn_size(insn);
    }
    piece->same_slot = *slot;
    *slot = piece;
    piece->next = pieces;
    pieces = piece;
    return piece;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const size_t count = qemu_plugin_tb_n_insns(tb);

    (void)id;
    for (size_t first = 0; first < count;) {
        struct qemu_plugin_insn *const start = qemu_plugin_tb_get_insn(tb, first);
        struct mark *const mark = mark_at(qemu_plugin_insn_vaddr(start));
        size_t last = first + 1;

        while (last < count && mark_at(qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, last))) == NULL) {
            last++;
        }
        if (mark != NULL) {
            qemu_plugin_register_vcpu_insn_exec_cb(start, reach_mark, NO_REGISTERS, mark);
        }
        qemu_plugin_register_vcpu_insn_exec_inline(start, INLINE_ADD_U64, &find_piece(tb, first, last)->runs, 1);
        first = last;
    }
}

static void finish(qemu_plugin_id_t id, void *data)
{
    FILE *const file = fopen(out, "w");

    (void)id;
    (void)data;
    if (file == NULL) {
        perror(out);
        return;
    }
    settle();
    for (const struct piece *piece = pieces; piece != NULL; piece = piece->next) {
        for (uint32_t i = 1; piece->counts != NULL && i < segment_count; i++) {
            if (piece->counts[i] != 0) {
                fprintf(file, "%" PRIu32 " %" PRIx64 " %" PRIu32 " %" PRIu64 " ", i, piece->address,
                        piece->instructions, piece->counts[i]);
                for (uint32_t j = 0; j < piece->size; j++) {
                    fprintf(file, "%02x", piece->bytes[j]);
                }
                fputc('\n', file);
            }
        }
    }
    fclose(file);
}

static bool read_marks(const char *path)
{
    FILE *const file = fopen(path, "r");
    struct mark mark;
    size_t room = 0;

    if (file == NULL) {
        perror(path);
        return false;
    }
    while (fscanf(file, "%" SCNx64 " %" SCNu32, &mark.address, &mark.segment) == 2) {
        if (mark_count == room) {
            struct mark *const grown = allocate(room = room == 0 ? 64 : 2 * room, sizeof mark);

            if (mark_count != 0) {
                memcpy(grown, marks, mark_count * sizeof mark);
            }
            free(marks);
            marks = grown;
        }
        marks[mark_count++] = mark;
        segment_count = mark.segment >= segment_count ? mark.segment + 1 : segment_count;
    }
    fclose(file);
    qsort(marks, mark_count, sizeof mark, compare_marks);
    return true;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            out = strdup(argv[i] + 4);
        } else if (strncmp(argv[i], "marks=", 6) != 0 || !read_marks(argv[i] + 6)) {
            fprintf(stderr, "count_blocks: cannot use the argument %s\n", argv[i]);
            return -1;
        }
    }
    if (out == NULL) {
        fputs("count_blocks: no out=FILE\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
