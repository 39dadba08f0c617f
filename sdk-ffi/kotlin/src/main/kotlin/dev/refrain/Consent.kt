package dev.refrain

/** Where consent stands. */
public data class Consent(
    /** What the person chose. */
    val decision: Decision,
    /** What may be done now. */
    val verdict: Verdict,
    /** Why, as a stable word: `person`, `gpc`, `dnt`, `host`, `default` or `store_unavailable`. */
    val reason: String,
    /** One sentence to show to the person. */
    val sentence: String,
)

/** Listens to changes of consent, see [Settings.onConsent]. */
public fun interface ConsentListener {
    /**
     * Called on a thread of its own, for one change at a time. It may call the client. The log names what it throws,
     * once.
     */
    public fun onConsent(consent: Consent)
}

/** What the person chose. */
public enum class Decision {
    GRANTED,
    DENIED,

    /** Nothing has been decided yet. */
    UNSET,
}

/** What may be done now. */
public enum class Verdict {
    /** Record and send. */
    ALLOW,

    /** Keep calls in memory until the person decides. */
    HOLD,

    /** Do nothing. */
    DENY,
}
