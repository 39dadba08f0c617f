package dev.refrain

/** What the environment says. `true` means "do not track". The person's own choice takes precedence. */
public data class Signals
@JvmOverloads
constructor(
    /** Global Privacy Control; in a web backend, the header `Sec-GPC`. */
    val gpc: Boolean = false,
    /** Do Not Track; in a web backend, the header `DNT`. */
    val dnt: Boolean = false,
    /** The app's own setting, or its platform's. */
    val host: Boolean = false,
)
