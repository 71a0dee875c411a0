/* operator.h: what the compiler emits for an operator and the runtime reads.
 *
 * toolchain/codegen/descriptor.py writes these structs as constant data, as
 * toolchain/layout.py has them; every build compares the two field by field.
 */
#ifndef OPS_OPERATOR_H_
#define OPS_OPERATOR_H_

#include "ops_wasm32.h"
#include "tables.h"

/* One argument of a kernel. A kernel gets: the data pointers of its inputs,
 * the data pointers of its outputs, its sizes (symbols), its attributes. */
typedef union {
  int64_t i;
  double f;
  void *p;
} ops_slot;
_Static_assert(sizeof(ops_slot) == 8, "kernels read slots of 8 bytes");

/* 0, or nonzero when a workspace could not be had. */
typedef int32_t (*ops_kernel)(const ops_slot *slots);

/* OPS_FLOAT32 and so on, by their places in the table; OPS_DTYPES counts them.
 */
#define OPS_DTYPE(name, NAME, code, bits, type) OPS_##NAME,
typedef enum {
  OPS_EACH_DTYPE(OPS_DTYPE) OPS_EACH_MODEL_DTYPE(OPS_DTYPE) OPS_DTYPES
} ops_dtype;
#undef OPS_DTYPE
/* Whether a dtype has 16 bits; where none has, its code is left out. */
#define OPS_IS_16(name, NAME, code, bits, type) || bits == 16
enum { OPS_HAS_16_BITS = 0 OPS_EACH_DTYPE(OPS_IS_16) };
#undef OPS_IS_16

enum {
  OPS_PARAM_OPTIONAL = 1, /* may be absent: then `fill` in every element */
  OPS_PARAM_VARIADIC = 2, /* one tensor for each unit of the call */
  OPS_PARAM_LATE = 4, /* an output whose sizes `run` finds; see ops_set_late */
  OPS_PARAM_OPEN = 8  /* an output that a call may allocate: ops_wasm32.h */
};

/* A tensor parameter in its canonical rank. */
typedef struct {
  const char *name;
  uint8_t flags;
  uint8_t rank;
  uint8_t dims[6]; /* the symbol (index of a size) of each canonical axis */
  double fill;
} ops_param;

enum { OPS_ATTR_INT = 0, OPS_ATTR_FLOAT = 1 };
enum { OPS_ATTR_REQUIRED = 1, OPS_ATTR_RAW = 2 };

typedef struct {
  const char *name;
  const char *const *choices; /* names of 0, 1, ..., then NULL; or NULL */
  double preset;              /* the default, unless OPS_ATTR_REQUIRED */
  double minimum;
  double maximum;
  uint8_t kind;
  uint8_t flags;
  uint8_t per_unit; /* 0: one value; k: a list of k entries per unit */
  uint8_t slots; /* how many values the kernel gets; 0: collapse uses it up */
} ops_attribute;

/* A checked call, in call.h. (Not "ops_call": that is the public function, and
 * C has one name space for functions and types.) */
typedef struct ops_request ops_request;

/* How tensors of any rank become the canonical sizes of a kernel. */
typedef struct {
  int32_t (*shape)(ops_request *call); /* user shapes of the outputs */
  int32_t (*run)(ops_request *call);   /* loops over the kernel */
  int32_t in_place; /* whether an output may be an input: elementwise */
} ops_collapse;

/* What all dtypes of one operator share. */
typedef struct {
  const char *name;
  const ops_collapse *collapse;
  const ops_param *params; /* inputs, then outputs */
  const ops_attribute *attributes;
  const char *const *requirements; /* text of each; NULL at the end */
  union {
    /* Canonical output sizes, from the TE definition: slots as for the kernel
     * but for the first output's, which is an int64_t array that receives 0 or
     * 1 + the index of the requirement that failed, then the sizes of each
     * output. */
    ops_kernel infer;
    /* Of a model: the sizes of every input, then of every output. */
    const int64_t *sizes;
    /* Of a model of any size. */
    const struct ops_model *model;
  };
  uint16_t inputs;
  uint16_t outputs;
  uint16_t fixed; /* arguments that come once */
  uint8_t each;   /* arguments that come once for each unit */
  uint8_t units;  /* most units a call may have; 0: the operator has none */
  uint8_t attribute_count;
  uint8_t symbols; /* sizes that the kernel gets */
  uint8_t rule;    /* for the collapse function: which variant */
} ops_family;

struct ops_operator {
  const char *name;
  const ops_family *family;
  const uint8_t *dtypes; /* an ops_dtype for each of params */
  ops_kernel kernel;
  ops_kernel columns; /* the second form, or NULL; see the collapse function */
};

/* The generated table, sorted by name. */
extern const ops_operator *const ops_table[];
extern const uint32_t ops_table_count;

#endif /* OPS_OPERATOR_H_ */
