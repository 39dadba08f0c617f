package dev.refrain

/** What the environment says. `true` means "do not track"; a choice of the person's outranks it. */
public data class Signals
@JvmOverloads
constructor(
    /** Global Privacy Control; a web backend passes on `Sec-GPC`. */
    val gpc: Boolean = false,
    /** Do Not Track; a web backend passes on `DNT`. */
    val dnt: Boolean = false,
    /** The app's own setting, or its platform's. */
    val host: Boolean = false,
)
