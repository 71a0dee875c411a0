/* state.h: all that a module writes outside of its callers' memory.
 *
 * One struct with one instance, ops_state, all zero at the start. The toolchain
 * defines it (toolchain/codegen/room.py, room), because how many tensors
 * a call may have depends on the operators. Beside it lie three arrays of which
 * nothing is read after the call that wrote it: ops_room_slots, ops_room_text,
 * and the buffers of collapse_elementwise.c. They are apart because programs
 * that do not use them do not link them.
 *
 * A module has one thread, and so one call at a time. With threads, each would
 * have an ops_state of its own (_Thread_local in the declaration below), and
 * share `heap` behind a lock: nothing else is read by two calls.
 */
#ifndef OPS_STATE_H_
#define OPS_STATE_H_

#include "operator.h"

/* The runtime is compiled for size (toolchain/link/clang.py). What every call
 * runs is INLINE where it is small. */
#define INLINE static inline __attribute__((always_inline))

/* What the arrays of the runtime hold. An operator that needs more is refused
 * when it is compiled (toolchain/codegen/limits.py, check_limits), which
 * takes the numbers from toolchain/abi.py; every build compares them. Other
 * arrays have an entry for each of the at most OPS_MAX_RANK axes of a tensor
 * that was checked (ops_read_shape), or say beside them why they are large
 * enough. */
#define OPS_MAX_VALUES 64     /* attribute values of a call, lists included */
#define OPS_MAX_ATTRIBUTES 16 /* attributes of an operator */
#define OPS_MAX_AXES 6        /* of a tensor in its canonical rank */
#define OPS_MAX_SYMBOLS 32    /* sizes that a kernel gets */
#define OPS_MAX_SIZES 64      /* canonical sizes of all outputs */
#define OPS_MAX_SLOTS 64      /* of a kernel: pointers, sizes, values */
#define OPS_MAX_INPUTS 4      /* of an elementwise operator */
#define OPS_MAX_OUTPUTS 8     /* of an operator along rows */
#define OPS_MAX_NAME 1024     /* bytes of a kernel's name, its zero included */

_Static_assert(sizeof((ops_param *)0)->dims == OPS_MAX_AXES, "one for each");

/* A tensor argument after the checker: compact, in memory, sizes below 2^31. */
typedef struct {
  const char *name; /* of its parameter */
  union {
    uint8_t *data;    /* byte_offset included; NULL if absent */
    DLTensor *answer; /* of an output that is absent: what is to be filled */
  };
  int64_t bytes;
  int64_t count; /* elements */
  int32_t shape[OPS_MAX_RANK];
  uint8_t rank;
  uint8_t dtype;    /* ops_dtype */
  uint8_t itemsize; /* bytes */
  uint8_t absent;   /* an optional input that was not given; an output without
                       data */
  int64_t *room;    /* the caller's sizes, OPS_MAX_RANK of them where it is
                       absent; NULL in a step of a model */
} ops_tensor;

/* -- what a collapse finds out in `shape` and uses in `run` -- */

/* collapse_rows.c: x in canonical sizes. */
typedef struct {
  uint32_t axes; /* bit i below the rank: axis i of x belongs to the rows */
  int32_t each;  /* REDUCE_AXES over no axes at all: each element is a row */
  int64_t o, n;  /* rows, and elements of a row */
  int64_t k;     /* `run` alone: from an element of a row to the next */
  ops_slot slots[OPS_MAX_SLOTS];          /* of the kernel */
  int64_t sizes[1 + 2 * OPS_MAX_OUTPUTS]; /* from 1 on o and n of each output */
} ops_rows_plan;

/* collapse_exact.c: the sizes that the inputs bind. */
typedef struct {
  int32_t lifted;                   /* whether tensors get another axis */
  int64_t symbols[OPS_MAX_SYMBOLS]; /* the sizes */
  uint8_t owner[OPS_MAX_SYMBOLS];   /* input that bound a symbol ... */
  uint8_t axis[OPS_MAX_SYMBOLS];    /* ... and which of its axes */
  ops_slot slots[OPS_MAX_SLOTS];    /* of the kernel */
  int64_t sizes[1 + OPS_MAX_SIZES]; /* `shape` alone: from 1 on the outputs' */
} ops_exact_plan;

/* An operand of an elementwise kernel while it runs. */
typedef struct {
  uint8_t *start;
  uint8_t *at;     /* of the next strips; otherwise `start` */
  uint8_t *source; /* what the buffer was gathered from */
  int32_t stride;  /* bytes from strip to strip */
  int32_t itemsize;
  int32_t step[OPS_MAX_RANK]; /* bytes along each axis */
  uint64_t fill;              /* stands in for an absent input */
} ops_operand;

/* collapse_elementwise.c: the merged axes, the innermost at 0. */
typedef struct {
  int32_t rank;                     /* 0: all tensors have one shape */
  int32_t size[OPS_MAX_RANK];       /* of the merged axes */
  uint32_t broadcast[OPS_MAX_RANK]; /* bit t: input t is broadcast there */
  /* What follows is written and read by `run` alone. */
  const ops_operand *gathering;
  ops_slot slots[OPS_MAX_SLOTS];            /* of the kernel */
  ops_operand operands[OPS_MAX_INPUTS + 1]; /* inputs, then the output */
} ops_elementwise_plan;

/* collapse_unary.c: written and read by `run` alone. */
#define OPS_BLOCK                                            \
  16 /* elements of which kernels of one input get multiples \
      */
typedef struct {
  ops_slot slots[OPS_MAX_SLOTS]; /* of the kernel */
  uint64_t input[OPS_BLOCK];     /* the last block, at most 8 bytes each */
  uint64_t output[OPS_BLOCK];
} ops_unary_plan;

/* -- a call -- */

struct ops_request {
  /* ops_check writes all of these at the start of a call. */
  const ops_operator *op;
  const ops_family *family;
  int32_t units;      /* solved from the number of arguments */
  int32_t attributes; /* checked so far, as are inputs and outputs */
  int32_t inputs;
  int32_t outputs;
  /* Written by call.c. Only while inferring: data pointers mean nothing, and
   * the outputs' shapes are to be found. */
  int32_t inferring;
  /* Attribute a starts at values[first[a]]; a list has length[a] entries. */
  ops_slot values[OPS_MAX_VALUES];
  uint8_t first[OPS_MAX_ATTRIBUTES];
  uint8_t length[OPS_MAX_ATTRIBUTES];
  /* Of the operator's collapse, which fills it anew in every call. */
  union {
    ops_rows_plan rows;
    ops_exact_plan exact;
    ops_elementwise_plan elementwise;
    ops_unary_plan unary;
  } plan;
  /* Inputs, then outputs, as ops_check fills them. `shape` of the collapse says
   * by ops_set_shape what rank and shape the outputs must have. */
  ops_tensor tensors[];
};

/* -- the module -- */

/* Entries of the allocator's table before it grows: 8 KB of zeroed memory. */
#define OPS_FIRST_ENTRIES 2048u
#define OPS_HINTS 256u

/* memory.c writes all of it, whenever a block is made, freed or searched. It
 * outlives calls. */
typedef struct {
  uint32_t *table;     /* `first`, and elsewhere as it grows; NULL at first */
  uint32_t pages;      /* that the table takes; 0 while it is `first` */
  uint32_t last;       /* the table's last entry */
  uint32_t first_free; /* no piece before this one is free */
  /* Where an address of each hash was found last, in bytes from `first`; 0, an
   * entry that is never live, where it was not. See ops_is_hinted. */
  uint32_t hints[OPS_HINTS];
  uint32_t first[OPS_FIRST_ENTRIES];
} ops_heap;

struct ops_state {
  ops_heap heap;
  /* Bytes that the kernel's last workspace was to have: by
   * TVMBackendAllocWorkspace, for the text of an error after it. */
  uint64_t asked;
  /* After a fault, the bytes from an address to the end of its block or of
   * memory: by ops_range_fault, for the text of that error. */
  uint32_t left;
  /* Whose blocks are checked, an argument: by ops_check_tensor. Not a
   * parameter: wasmtime passes parameters after the fourth through memory, and
   * waits for them. */
  const char *checked;
  /* The text that is being written: by text.c, from ops_text_start to
   * ops_text_end. */
  struct {
    char *next;
    char *last; /* of the buffer: room for the zero */
  } text;
  /* What ops_last_error gives, by error.c. 512 bytes hold every text but the
   * longest lists of arguments. It outlives calls. */
  char error[512];
  ops_request call;
};
/* Hidden: then an address of a field is one constant. */
extern struct ops_state ops_state __attribute__((visibility("hidden")));

/* As many arguments and bytes as the module's operators need. */
extern ops_slot ops_room_slots[]; /* by collapse_fixed.c: one per argument */
extern char ops_room_text[];      /* of a signature, by signature.c */
extern const struct {
  int32_t arguments;
  uint32_t text; /* bytes */
} ops_room_size;

#endif /* OPS_STATE_H_ */
