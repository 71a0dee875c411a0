/* node.h: an operator's call whose shapes and attributes are all known.
 *
 * toolchain/model/planned.py writes these structs as constant data, as
 * toolchain/layout.py has them; every build compares the two field by field.
 */
#ifndef OPS_NODE_H_
#define OPS_NODE_H_

#include "operator.h"

typedef struct {
  const int32_t *shape; /* NULL: an absent input */
  uint8_t rank;
  uint8_t dtype;
} ops_node_tensor;

typedef struct {
  const ops_operator *op;
  const ops_node_tensor *tensors; /* inputs, then outputs */
  const TVMFFIAny *attributes;
  uint16_t inputs;
  uint16_t outputs;
  uint16_t units;
} ops_node;

/* Calls the operator as ops_call does, but for the checks of its arguments.
 * slots: the data of each tensor that is given. */
int32_t ops_run_node(const ops_node *node, const ops_slot *slots);

#endif /* OPS_NODE_H_ */
