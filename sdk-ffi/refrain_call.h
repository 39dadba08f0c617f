/* The call of the library that does not go through UniFFI: see sdk-ffi/README.md, "A door in plain C". */

#ifndef REFRAIN_CALL_H
#define REFRAIN_CALL_H

#include <stdint.h>

/* `door` is the client's `door()`, `kind` what is called; `text` is a name of `name_bytes` bytes and, behind it, up to
 * `text_bytes` in all, properties, operators or an id, in UTF-8. What became of the call, for `outcome()`. */
uint8_t refrain_call(uint64_t door, uint8_t kind, uint32_t name_bytes, uint32_t text_bytes, const uint8_t *text);

#endif
