/* check_attribute.c: kinds and ranges of the attributes of a call. */
#include "check.h"

static int64_t saturate(double value) {
  if (value >= 9223372036854775807.0) return INT64_MAX;
  return value > -9223372036854775808.0 ? (int64_t)value : INT64_MIN;
}

static int32_t in_range(const ops_attribute *attribute, double value) {
  double low = attribute->minimum, high = attribute->maximum;
  if (attribute->choices) {
    int32_t count = 0;
    while (attribute->choices[count]) ++count;
    return value >= 0 && value < count;
  }
  if (attribute->flags & OPS_ATTR_RAW) return 1;
  /* A NaN passes where neither bound is finite. */
  if (value != value) return low - low != 0 && high - high != 0;
  return value >= low && value <= high;
}

static int32_t check_entry(const ops_request *call,
                           const ops_attribute *attribute, int32_t entry,
                           const TVMFFIAny *arg, ops_slot *slot) {
  int32_t kind = arg->type_index, is_float = attribute->kind == OPS_ATTR_FLOAT;
  double value = attribute->preset;
  slot->i = arg->v_int64; /* of a float: its bits */
  if (kind == OPS_KIND_INT || kind == OPS_KIND_BOOL) {
    value = (double)slot->i;
  } else if (kind == OPS_KIND_FLOAT && is_float) {
    value = slot->f;
  } else if (kind == OPS_KIND_NONE && !(attribute->flags & OPS_ATTR_REQUIRED)) {
    if (!is_float) slot->i = saturate(value);
  } else {
    return ops_fail(call, OPS_ERROR_ARGUMENT, "%n must be %s, got %s",
                    attribute, entry, is_float ? "a float" : "an int",
                    ops_kind_name(kind));
  }
  if (is_float) slot->f = value;
  if (kind == OPS_KIND_NONE || in_range(attribute, value)) return OPS_OK;
  return ops_fail(call, OPS_ERROR_ATTRIBUTE, "%n is %g; use %u", attribute,
                  entry, value, attribute);
}

int32_t ops_check_attribute(ops_request *call, int32_t index,
                            const TVMFFIAny *args) {
  const ops_attribute *attribute = &call->family->attributes[index];
  int32_t first = call->first[index], code = OPS_OK;
  int32_t length = attribute->per_unit ? attribute->per_unit * call->units : 1;
  if (first + length > OPS_MAX_VALUES)
    return ops_fail(call, OPS_ERROR_ARGUMENT,
                    "takes at most %d attribute values in one call",
                    OPS_MAX_VALUES);
  call->length[index] = (uint8_t)length;
  for (int32_t i = 0; !code && i < length; ++i)
    code = check_entry(call, attribute, i, &args[i], &call->values[first + i]);
  return code;
}
