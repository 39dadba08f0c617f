package dev.refrain

/** What became of a call that records. */
public sealed class Outcome {
    /** Recorded. */
    public data object Accepted : Outcome()

    /** Kept in memory until the person decides. */
    public data object Held : Outcome()

    /**
     * Not recorded.
     *
     * @property reason why, a stable word: `denied`, `empty_name`, `not_finite`, …
     * @property hint one sentence that says what to do about it.
     */
    public data class Rejected(val reason: String, val hint: String) : Outcome()

    /** Whether nothing was recorded. */
    public val isRejected: Boolean
        get() = this is Rejected
}
