/* attribute.c: the attributes of a call: their checks, how they reach the
 * kernel, and how texts show them.
 *
 * What others need of this file is weak, and the descriptor of each operator
 * with attributes refers to it (toolchain/codegen/descriptor.py): a module
 * without such an operator does without the 2 KB.
 */
#include "check.h"
#include "text.h"

/* -- text -- */

/* Nine digits, so that a float32 comes back unchanged; whole numbers in full up
 * to 9e18, beyond with an exponent. */
static void put_double(double value) {
  int32_t exponent = 0;
  if (value < 0) ops_put("-");
  value = __builtin_fabs(value);
  if (value - value != 0) {
    ops_put(value != value ? "nan" : "inf");
    return;
  }
  if (value >= 9e18)
    for (; value >= 1e9; ++exponent) value /= 10;
  for (; value < 1e8 && value != __builtin_trunc(value); --exponent)
    value *= 10;
  int64_t digits = ops_saturate(__builtin_rint(value));
  for (; exponent && digits % 10 == 0; ++exponent) digits /= 10;
  ops_put_decimal((uint64_t)digits, -exponent);
  if (exponent <= 0) return;
  ops_put("e");
  ops_put_int(exponent);
}

/* A bound but infinity, after " >= ", ... */
static void put_bound(const char *before, double bound) {
  if (bound - bound != 0) return;
  ops_put(before);
  put_double(bound);
}

void ops_put_attribute(const ops_attribute *attribute) {
  const char *const *choices = attribute->choices;
  ops_put(attribute->name);
  ops_put(attribute->kind == OPS_ATTR_FLOAT ? ": float" : ": int");
  if (attribute->per_unit) {
    ops_put("[");
    ops_put_int(attribute->per_unit);
    ops_put("]");
  }
  for (int32_t i = 0; choices && choices[i]; ++i) {
    ops_put(i ? "," : "{");
    ops_put(choices[i]);
    ops_put("=");
    ops_put_int(i);
  }
  if (choices) ops_put("}");
  if (!(attribute->flags & OPS_ATTR_REQUIRED)) {
    ops_put(" = ");
    put_double(attribute->preset);
  }
  if (choices || attribute->flags & OPS_ATTR_RAW) return;
  put_bound(" >= ", attribute->minimum);
  put_bound(" <= ", attribute->maximum);
}

static void put_value(const ops_attribute *attribute, ops_slot value) {
  if (attribute->kind == OPS_ATTR_FLOAT)
    put_double(value.f);
  else
    ops_put_int(value.i);
}

void ops_put_values(const ops_request *call) {
  for (int32_t a = 0; a < call->attributes; ++a) {
    const ops_attribute *attribute = &call->family->attributes[a];
    ops_put(", ");
    ops_put(attribute->name);
    ops_put(attribute->per_unit ? "=[" : "=");
    for (int32_t i = 0; i < call->length[a]; ++i) {
      if (i) ops_put(",");
      put_value(attribute, call->values[call->first[a] + i]);
    }
    if (attribute->per_unit) ops_put("]");
  }
}

/* -- checks -- */

static ops_slot preset(const ops_attribute *attribute) {
  ops_slot slot = {.f = attribute->preset};
  if (attribute->kind != OPS_ATTR_FLOAT) slot.i = ops_saturate(slot.f);
  return slot;
}

/* A NaN passes where both bounds are infinite. */
static int32_t in_range(const ops_attribute *attribute, double value) {
  double low = attribute->minimum, high = attribute->maximum, sum = low + high;
  return (value >= low && value <= high) || (value != value && sum != sum);
}

static int32_t check_entry(const ops_request *call,
                           const ops_attribute *attribute, int32_t entry,
                           const TVMFFIAny *arg, ops_slot *slot) {
  int32_t kind = arg->type_index, is_float = attribute->kind == OPS_ATTR_FLOAT;
  int32_t code = OPS_ERROR_ATTRIBUTE;
  double value = arg->v_float64;
  slot->i = arg->v_int64;
  if (!kind && !(attribute->flags & OPS_ATTR_REQUIRED)) {
    *slot = preset(attribute);
    return OPS_OK;
  }
  if (kind == OPS_KIND_INT || kind == OPS_KIND_BOOL) {
    value = (double)slot->i;
    if (is_float) slot->f = value;
  } else if (kind != OPS_KIND_FLOAT || !is_float) {
    code = OPS_ERROR_ARGUMENT;
  }
  if (code == OPS_ERROR_ATTRIBUTE && in_range(attribute, value)) return OPS_OK;
  ops_fail_start(call);
  ops_put(attribute->name);
  if (attribute->per_unit) {
    ops_put("_");
    ops_put_int(entry);
  }
  ops_put(" is ");
  if (code == OPS_ERROR_ATTRIBUTE)
    put_value(attribute, *slot);
  else
    ops_put(ops_kind_name(kind));
  ops_put("; the signature has ");
  ops_put_attribute(attribute);
  ops_text_end();
  return code;
}

int32_t ops_check_attributes(ops_request *call, const TVMFFIAny *args) {
  int32_t code = OPS_OK, values = 0;
  for (int32_t a = 0; !code && a < call->family->attribute_count; ++a) {
    const ops_attribute *attribute = &call->family->attributes[a];
    int32_t per_unit = attribute->per_unit;
    int32_t length = per_unit ? per_unit * call->units : 1;
    if (a == OPS_MAX_ATTRIBUTES || values + length > OPS_MAX_VALUES)
      return ops_fail_with(
          call, OPS_ERROR_ARGUMENT,
          "%s%shas more attributes than the runtime takes: %l, "
          "or %l values",
          0, 0, OPS_MAX_ATTRIBUTES, OPS_MAX_VALUES);
    call->first[a] = (uint8_t)values;
    call->length[a] = (uint8_t)length;
    for (int32_t i = 0; !code && i < length; ++i, ++values)
      code =
          check_entry(call, attribute, i, &args[values], &call->values[values]);
    call->attributes += !code;
  }
  return code;
}

/* -- the kernel's slots -- */

/* A list of k values per unit is k groups of `length / k` values. A kernel that
 * takes more of each group gets the preset in front: 1-D strides [s] become
 * [preset, s]. */
int32_t ops_put_attribute_slots(const ops_request *call, ops_slot *slots,
                                int32_t at) {
  for (int32_t a = 0; a < call->attributes; ++a) {
    const ops_attribute *attribute = &call->family->attributes[a];
    const ops_slot *values = &call->values[call->first[a]];
    int32_t groups = attribute->per_unit ? attribute->per_unit : 1;
    int32_t cells = attribute->slots / groups;
    int32_t given = call->length[a] / groups;
    for (int32_t g = 0; g < groups; ++g, values += given)
      for (int32_t c = given - cells; c < given; ++c)
        slots[at++] = c < 0 ? preset(attribute) : values[c];
  }
  return at;
}
