/* signature.c: an operator's description as text, which hosts parse:
 *
 *   softmax_float32(x: float32) -> (out: float32); axis: int = -1
 *
 * `b?` may be absent, `x...` is one tensor per unit, `int[2]` a list of 2
 * values per unit, `int{constant=0,reflect=1}` has names for its values;
 * ` >= 0` and ` <= 1` are bounds; without ` = ` an attribute is required.
 */
#include "text.h"

/* Twice the longest so far. */
static char signature[1024];

static const char *mark(const ops_param *param) {
  if (param->flags & OPS_PARAM_VARIADIC) return "...";
  return param->flags & OPS_PARAM_OPTIONAL ? "?" : "";
}

static void print_params(const ops_operator *op) {
  const ops_family *family = op->family;
  for (int32_t i = 0; i < family->inputs + family->outputs; ++i) {
    const ops_param *param = &family->params[i];
    const char *before = i == family->inputs ? ") -> (" : i ? ", " : "(";
    ops_print("%s%s%s: %s", before, param->name, mark(param),
              ops_dtype_names[op->dtypes[i]]);
  }
}

static void print_choices(const char *const *choices) {
  for (int32_t i = 0; choices[i]; ++i)
    ops_print("%s%s=%d", i ? "," : "{", choices[i], i);
  ops_print("}");
}

static void print_attribute(const ops_attribute *attribute) {
  double low = attribute->minimum, high = attribute->maximum;
  ops_print("; %s: %s", attribute->name,
            attribute->kind == OPS_ATTR_FLOAT ? "float" : "int");
  if (attribute->per_unit) ops_print("[%d]", (int32_t)attribute->per_unit);
  if (attribute->choices) print_choices(attribute->choices);
  if (!(attribute->flags & OPS_ATTR_REQUIRED))
    ops_print(" = %g", attribute->preset);
  if (attribute->choices || attribute->flags & OPS_ATTR_RAW) return;
  if (low - low == 0) ops_print(" >= %g", low);
  if (high - high == 0) ops_print(" <= %g", high);
}

const char *ops_operator_signature(const ops_operator *op) {
  ops_text_start(signature, sizeof signature);
  ops_print("%s", op->name);
  print_params(op);
  ops_print(")");
  for (int32_t i = 0; i < op->family->attribute_count; ++i)
    print_attribute(&op->family->attributes[i]);
  ops_text_end();
  return signature;
}
