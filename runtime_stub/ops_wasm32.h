/* ops_wasm32.h: the C ABI of every ops_wasm32 module and archive, versions 1
 * and 2.
 *
 * Tensors are DLPack's DLTensor, arguments are TVM's packed convention (an
 * array of TVMFFIAny). A call takes its inputs first, then its outputs, then
 * its attributes, in the order and with the names that ops_signature() gives.
 * The library never prints, never traps and imports nothing.
 *
 * Version 2 is version 1 with open outputs, which models with open sizes have:
 * where the data of an output is NULL, ops_call allocates it. Libraries of
 * operators, and models whose sizes are all known, have version 1.
 */
#ifndef OPS_WASM32_H_
#define OPS_WASM32_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OPS_ABI_VERSION 1u
/* Of modules whose model has open outputs. */
#define OPS_ABI_VERSION_OPEN 2u
/* Tensors have at most this many axes. */
#define OPS_MAX_RANK 8
/* A call takes at most this many tensors (inputs and outputs together): of an
 * operator, and of a model. */
#define OPS_MAX_TENSORS 64
#define OPS_MAX_MODEL_TENSORS 4096

/* DLPack's and TVM's structs, left out where their own headers came first. */
#ifndef DLPACK_DLPACK_H_
typedef struct {
  int32_t device_type; /* 1: CPU */
  int32_t device_id;
} DLDevice;

typedef struct {
  uint8_t code; /* 0 int, 1 unsigned, 2 float, 6 bool */
  uint8_t bits;
  uint16_t lanes; /* 1 */
} DLDataType;

typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;   /* ndim entries, in elements */
  int64_t *strides; /* NULL, or as a compact row-major tensor has them */
  uint64_t byte_offset;
} DLTensor;
#endif

#ifndef TVM_FFI_C_API_H_
typedef struct {
  int32_t type_index;
  uint32_t zero_padding;
  union {
    int64_t v_int64;
    double v_float64;
    void *v_ptr;
    DLTensor *v_tensor;
  };
} TVMFFIAny;
#endif

#if defined(__wasm32__) && defined(__cplusplus)
static_assert(sizeof(TVMFFIAny) == 16, "TVMFFIAny is 16 bytes on wasm32");
static_assert(sizeof(DLTensor) == 40, "DLTensor is 40 bytes on wasm32");
#elif defined(__wasm32__)
_Static_assert(sizeof(TVMFFIAny) == 16, "TVMFFIAny is 16 bytes on wasm32");
_Static_assert(sizeof(DLTensor) == 40, "DLTensor is 40 bytes on wasm32");
#endif

/* Kinds of argument (TVMFFIAny.type_index). */
enum {
  OPS_KIND_NONE = 0,  /* an absent optional input; an attribute's default */
  OPS_KIND_INT = 1,   /* v_int64 */
  OPS_KIND_BOOL = 2,  /* v_int64, 0 or 1; taken where an int is */
  OPS_KIND_FLOAT = 3, /* v_float64 */
  OPS_KIND_TENSOR = 7 /* v_tensor, a DLTensor* */
};

/* What the functions return. ops_last_error() has the text. */
enum {
  OPS_OK = 0,
  OPS_ERROR_OPERATOR = 1,  /* no such operator */
  OPS_ERROR_ARGUMENT = 2,  /* wrong count or kind of arguments */
  OPS_ERROR_DTYPE = 3,     /* wrong dtype */
  OPS_ERROR_SHAPE = 4,     /* wrong rank or shape */
  OPS_ERROR_POINTER = 5,   /* null, misaligned, outside memory or its block */
  OPS_ERROR_ATTRIBUTE = 6, /* an attribute, or an index, outside its range */
  OPS_ERROR_MEMORY = 7     /* out of memory */
};

/* One operator for one choice of dtypes; the generated ops_kernels.h declares
 * each. Naming one in a program links its kernel, and only its. */
typedef struct ops_operator ops_operator;

/* Version of this ABI that the module needs: OPS_ABI_VERSION, or
 * OPS_ABI_VERSION_OPEN. */
uint32_t ops_abi_version(void);
/* A block of linear memory, aligned to 64 bytes; NULL when out of memory. */
void *ops_alloc(uint32_t bytes);
/* 0, or OPS_ERROR_POINTER for anything that is not the start of a live block.
 */
int32_t ops_free(void *block);
/* How many operators there are; indices run from 0, sorted by name. */
uint32_t ops_count(void);
/* Name of an operator, "softmax_float32"; NULL past the end. */
const char *ops_name(uint32_t index);
/* Names, dtypes and attributes of an operator's arguments; NULL past the end.
 * The text stays valid until the next call. */
const char *ops_signature(uint32_t index);
/* Index of the operator of that name, or -1. */
int32_t ops_find(const char *name);
/* Fills ndim, shape and dtype of the output tensors; their shape pointers must
 * have room for OPS_MAX_RANK entries. Data pointers may be NULL.
 *
 * Of a model with open sizes the shapes are those for the sizes of the inputs
 * given. Where a size depends on elements of the inputs, which are not read, it
 * is the largest that can be; where nothing bounds it, OPS_ERROR_SHAPE: leave
 * that output to ops_call, with data NULL. */
int32_t ops_infer(uint32_t index, const TVMFFIAny *args, int32_t n);
/* Runs an operator. Outputs have the shapes that ops_infer says; where a size
 * follows from elements, that is the largest, and the call sets ndim and shape
 * to what it has found.
 *
 * Version 2: an output of a model with open sizes may have data NULL, and a
 * shape pointer with room for OPS_MAX_RANK entries. The call then sets ndim,
 * shape, dtype and data, the start of a block that the caller frees by ops_free
 * (of an output without elements too). An output with data must have the very
 * shape of the result. After an error data is NULL as before, and no block is
 * left. */
int32_t ops_call(uint32_t index, const TVMFFIAny *args, int32_t n);
/* What went wrong in the last function that failed; "" when none has. */
const char *ops_last_error(void);

/* The same by operator, for programs that link the archive. */
int32_t ops_infer_operator(const ops_operator *op, const TVMFFIAny *args,
                           int32_t n);
int32_t ops_call_operator(const ops_operator *op, const TVMFFIAny *args,
                          int32_t n);
const char *ops_operator_signature(const ops_operator *op);

#ifdef __cplusplus
}
#endif
#endif /* OPS_WASM32_H_ */
