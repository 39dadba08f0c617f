package dev.refrain

/** The result of a recording call. */
public sealed class Outcome {
    /** The call was recorded. */
    public data object Accepted : Outcome()

    /** The call is kept in memory until the person decides. */
    public data object Held : Outcome()

    /**
     * The call was not recorded.
     *
     * @property reason why, as a stable word: `denied`, `empty_name`, `not_finite`, …
     * @property hint one sentence on what to do about it.
     */
    public data class Rejected(val reason: String, val hint: String) : Outcome()

    /** Whether the call was rejected, so that nothing was recorded. */
    public val isRejected: Boolean
        get() = this is Rejected
}
