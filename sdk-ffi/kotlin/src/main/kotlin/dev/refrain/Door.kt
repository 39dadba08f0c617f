package dev.refrain

import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native
import com.sun.jna.NativeLibrary
import dev.refrain.ffi.uniffiCallbackInterfaceHttpTransport as Called
import dev.refrain.ffi.uniffiEnsureInitialized
import dev.refrain.ffi.version

/**
 * The library's C function for calls that record. Through the generated bindings such a call takes some 20 µs, most of
 * them for structures that JNA carries across; here numbers and bytes cross.
 */
internal object Door {
    init {
        Native.register(Door::class.java, LIBRARY)
    }

    /** Makes sure of it. */
    fun isOpen(): Unit = Unit

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

/** The package's own version, which the library's has to be. */
internal const val VERSION = "0.1.0"

private const val LIBRARY = "refrain_ffi"

/** The native library, looked at once: a class that could not be made does not say why a second time. */
internal object Library {
    private var cause: Throwable? = null
    private val fault: String? = look()

    /** @throws IllegalStateException it cannot be used, and why. */
    fun check() {
        if (fault != null) throw IllegalStateException(fault, cause)
    }

    private fun look(): String? {
        try {
            NativeLibrary.getInstance(LIBRARY, Library::class.java.classLoader)
        } catch (error: LinkageError) {
            cause = error
            return "the native library could not be loaded: is there one for this platform in the jar or the app, see " +
                "the package's README? (${error.message})"
        }
        // As JNA brings them into the JVM otherwise, a request that hangs would keep a program from ending. It looks when
        // the bindings hand their callbacks over, which they do as soon as they are initialized.
        val daemons = CallbackThreadInitializer(true, true, "refrain-host")
        val callbacks =
            listOf(Called.send, Called.cancel, Called.notice, Called.consentChanged, Called.uniffiFree, Called.uniffiClone)
        for (callback in callbacks) {
            Native.setCallbackThreadInitializer(callback, daemons)
        }
        // Functions that are missing, or that mean something else than the bindings believe, are found here and not in
        // the middle of a withdrawal.
        return try {
            uniffiEnsureInitialized()
            Door.isOpen()
            otherVersion(version())
        } catch (error: LinkageError) {
            cause = error
            "${otherVersion("unknown")} (${(error.cause ?: error).message})"
        }
    }
}

/** What is wrong with a library of this version. */
internal fun otherVersion(library: String): String? =
    if (library == VERSION) null
    else "the native library is of another version ($library) than this package ($VERSION): take both from one build"
