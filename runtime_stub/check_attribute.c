/* check_attribute.c: kinds and ranges of the attributes of a call. */
#include "check.h"
#include "text.h"

/* "axis", or "strides_1" for the entry of a list. */
static const char *label(ops_text *out, const ops_attribute *attribute,
                         int32_t entry) {
  ops_print(out, attribute->per_unit ? "%s_%d" : "%s", attribute->name, entry);
  return ops_text_end(out);
}

static int64_t saturate(double value) {
  if (value >= 9223372036854775807.0) return INT64_MAX;
  return value > -9223372036854775808.0 ? (int64_t)value : INT64_MIN;
}

static int32_t choice_count(const ops_attribute *attribute) {
  int32_t count = 0;
  while (attribute->choices[count]) ++count;
  return count;
}

/* "mode is 7; use 0 (constant), 1 (reflect)". */
static int32_t fail_choice(const ops_request *call, const char *name,
                           const ops_attribute *attribute, int64_t value) {
  char text[256];
  ops_text out = {text, sizeof text, 0};
  for (int32_t i = 0; attribute->choices[i]; ++i)
    ops_print(&out, i ? ", %d (%s)" : "%d (%s)", i, attribute->choices[i]);
  return ops_fail(call, OPS_ERROR_ATTRIBUTE, "%s is %l; use %s", name, value,
                  ops_text_end(&out));
}

static int32_t finite(double value) { return value - value == 0; }

static int32_t check_value(const ops_request *call, const char *name,
                           const ops_attribute *attribute, double value) {
  double low = attribute->minimum, high = attribute->maximum;
  int32_t bounded = finite(low) || finite(high);
  if (value != value ? !bounded : value >= low && value <= high) return OPS_OK;
  if (!finite(high))
    return ops_fail(call, OPS_ERROR_ATTRIBUTE, "%s is %g; use at least %g",
                    name, value, low);
  if (!finite(low))
    return ops_fail(call, OPS_ERROR_ATTRIBUTE, "%s is %g; use at most %g", name,
                    value, high);
  return ops_fail(call, OPS_ERROR_ATTRIBUTE, "%s is %g; use %g to %g", name,
                  value, low, high);
}

static int32_t check_entry(const ops_request *call,
                           const ops_attribute *attribute, int32_t entry,
                           const TVMFFIAny *arg, ops_slot *slot) {
  char text[48];
  ops_text out = {text, sizeof text, 0};
  const char *name = label(&out, attribute, entry);
  int32_t kind = arg->type_index, is_float = attribute->kind == OPS_ATTR_FLOAT;
  const char *wanted = is_float ? "a float" : "an int";
  if (kind == OPS_KIND_NONE) {
    if (attribute->flags & OPS_ATTR_REQUIRED)
      return ops_fail(call, OPS_ERROR_ARGUMENT, "%s is required; pass %s", name,
                      wanted);
    if (is_float)
      slot->f = attribute->preset;
    else
      slot->i = saturate(attribute->preset);
    return OPS_OK;
  }
  int32_t integer = kind == OPS_KIND_INT || kind == OPS_KIND_BOOL;
  if (!integer && !(is_float && kind == OPS_KIND_FLOAT))
    return ops_fail(call, OPS_ERROR_ARGUMENT, "%s must be %s, got %s", name,
                    wanted, ops_kind_name(kind));
  int64_t given = arg->v_int64;
  double value = integer ? (double)given : arg->v_float64;
  if (is_float)
    slot->f = value;
  else
    slot->i = given;
  if (attribute->choices) {
    if (given < 0 || given >= choice_count(attribute))
      return fail_choice(call, name, attribute, given);
    return OPS_OK;
  }
  if (attribute->flags & OPS_ATTR_RAW) return OPS_OK;
  return check_value(call, name, attribute, value);
}

int32_t ops_check_attribute(ops_request *call, int32_t index,
                            const TVMFFIAny *args) {
  const ops_attribute *attribute = &call->family->attributes[index];
  int32_t first = call->first[index];
  int32_t length = attribute->per_unit ? attribute->per_unit * call->units : 1;
  if (first + length > OPS_MAX_VALUES)
    return ops_fail(call, OPS_ERROR_ARGUMENT,
                    "takes at most %d attribute values in one call",
                    OPS_MAX_VALUES);
  call->length[index] = (uint8_t)length;
  for (int32_t i = 0; i < length; ++i) {
    int32_t code = check_entry(call, attribute, i, &args[i],
                               &call->values[first + i]);
    if (code) return code;
  }
  return OPS_OK;
}
