package dev.refrain

import com.sun.jna.Native

/**
 * The library's C function for calls that record. Through the generated bindings such a call takes some 20 µs, most of
 * them for structures that JNA carries across; here numbers and bytes cross.
 */
internal object Door {
    init {
        Native.register(Door::class.java, "refrain_ffi")
    }

    /**
     * @param client its `Client.door`.
     * @param kind what is called, by its number.
     * @param text a name of so many bytes, and what comes behind it, in UTF-8.
     * @return the number of an outcome.
     */
    @JvmStatic
    @JvmName("refrain_call")
    external fun call(client: Long, kind: Byte, nameBytes: Int, textBytes: Int, text: ByteArray): Byte
}
